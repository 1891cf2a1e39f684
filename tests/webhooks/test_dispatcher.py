"""From a committed build to the queue, off the request's path."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Sequence

import pytest

from bot.models import builds, deployments, projects
from bot.models.database import Database
from bot.webhooks.dispatcher import Dispatcher

_DEADLINE = 10.0


def request(database: Database, count: int) -> list[str]:
    with database.write():
        project = projects.connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        return [
            deployments.request_build(project, f"{n:040x}", "main", "push", "preview").build_id
            for n in range(count)
        ]


class Queue:
    def __init__(self) -> None:
        self.ids: queue.Queue[str] = queue.Queue()

    def enqueue(self, build_ids: Sequence[str]) -> None:
        for build_id in build_ids:
            self.ids.put(build_id)

    def take(self, count: int) -> list[str]:
        return [self.ids.get(timeout=_DEADLINE) for _ in range(count)]


def test_woken_builds_reach_the_queue_in_their_order(database: Database) -> None:
    found = Queue()
    dispatcher = Dispatcher(found.enqueue)
    wanted = request(database, 40)
    dispatcher.wake(wanted[:1])
    assert found.take(1) == wanted[:1]
    dispatcher.wake(wanted[1:])
    assert sorted(found.take(39)) == sorted(wanted[1:])


def test_builds_that_are_no_longer_queued_are_left_out(database: Database) -> None:
    found = Queue()
    taken, waiting = request(database, 2)
    with database.write():
        builds.claim(taken, "worker")
    Dispatcher(found.enqueue).wake([taken, waiting])
    assert found.take(1) == [waiting]
    assert found.ids.empty()


def test_a_queue_that_fails_stops_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    found = Queue()
    broken = [True]

    def enqueue(build_ids: Sequence[str]) -> None:
        if broken.pop() if broken else False:
            raise OSError("the queue is away")
        found.enqueue(build_ids)

    first, second = request(database, 2)
    dispatcher = Dispatcher(enqueue)
    dispatcher.wake([first])
    while broken:
        pass
    dispatcher.wake([second])
    assert found.take(1) == [second]
    assert "could not be queued; the worker will" in caplog.text


def test_a_forked_process_starts_a_thread_of_its_own(database: Database) -> None:
    context = multiprocessing.get_context("fork")
    told: multiprocessing.Queue[tuple[int, list[str]]] = context.Queue()

    def enqueue(build_ids: Sequence[str]) -> None:
        told.put((os.getpid(), list(build_ids)))

    first, second = request(database, 2)
    dispatcher = Dispatcher(enqueue)

    def child() -> None:
        dispatcher.wake([first])
        started.wait(_DEADLINE)

    started = context.Event()
    # The web process forks before the first delivery; a connection must not be shared.
    database.close()
    process = context.Process(target=child)
    process.start()
    assert told.get(timeout=_DEADLINE) == (process.pid, [first])
    started.set()
    process.join(_DEADLINE)
    dispatcher.wake([second])
    assert told.get(timeout=_DEADLINE) == (os.getpid(), [second])
