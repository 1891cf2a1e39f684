"""The queues: what goes in comes out, at its time, and nothing in it is ever run as code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bot.errors import InvalidSetting, SystemFault
from bot.queues import open_queue
from bot.settings import Settings
from bot.tasks import Tasks
from tests.servers import Redis


@pytest.fixture(params=["sqlite", "redis"])
def settings(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Settings:
    """What each of these tests is run on: both kinds of queue keep the same promises."""
    if request.param == "sqlite":
        return make_settings()
    return make_settings(QUEUE_URL=request.getfixturevalue("redis_url"))


class Recorder:
    """In a worker's place."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.next_due: int | None = None
        self.delivered = 0

    def take_up(self, build_id: str) -> None:
        self.built.append(build_id)

    def deliver(self) -> int | None:
        self.delivered += 1
        return self.next_due

    def look_after(self) -> None:
        pass


def run_one(tasks: Tasks, queue: str = "builds") -> bool:
    huey = getattr(tasks, queue)
    task = huey.dequeue()
    if task is not None:
        huey.execute(task)
    return task is not None


def test_a_web_process_queues_and_a_worker_runs(settings: Settings) -> None:
    worker = Recorder()
    Tasks(settings).woken(["bld-1", "bld-2"])
    tasks = Tasks(settings, worker)  # type: ignore[arg-type]
    while run_one(tasks):
        pass
    assert worker.built == ["bld-1", "bld-2"]


def test_a_delayed_build_waits_in_the_schedule(settings: Settings) -> None:
    worker = Recorder()
    tasks = Tasks(settings, worker)  # type: ignore[arg-type]
    tasks.build("bld-1", delay=60)
    assert run_one(tasks)  # Huey moves it to its schedule
    assert worker.built == []
    later = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=61)
    (task,) = tasks.builds.read_schedule(later)
    tasks.builds.execute(task, later)
    assert worker.built == ["bld-1"]


def test_the_queue_says_how_many_wake_ups_it_holds(settings: Settings) -> None:
    tasks = Tasks(settings, Recorder())  # type: ignore[arg-type]
    assert tasks.wake_ups() == 0
    tasks.build("bld-1")
    tasks.build("bld-2")
    assert tasks.wake_ups() == 2
    assert run_one(tasks)
    assert tasks.wake_ups() == 1


def test_the_outbox_is_looked_at_again_when_its_next_entry_is_due(settings: Settings) -> None:
    worker = Recorder()
    worker.next_due = int((datetime.now(UTC) + timedelta(minutes=5)).timestamp() * 1000)
    tasks = Tasks(settings, worker)  # type: ignore[arg-type]
    tasks.deliver()
    assert run_one(tasks, "chores")
    assert run_one(tasks, "chores")  # Huey moves it to its schedule
    assert worker.delivered == 1
    assert tasks.chores.scheduled_count() == 1
    for _ in range(3):  # further wake-ups schedule nothing more
        tasks.deliver()
        assert run_one(tasks, "chores")
    assert run_one(tasks, "chores") is False
    assert tasks.chores.scheduled_count() == 1


def test_a_pickle_in_the_queue_is_refused(settings: Settings) -> None:
    tasks = Tasks(settings, Recorder())  # type: ignore[arg-type]
    tasks.builds.storage.enqueue(pickle.dumps(("anything",)))
    with pytest.raises(msgspec.DecodeError):
        tasks.builds.dequeue()


def test_a_process_without_a_worker_runs_nothing(settings: Settings) -> None:
    with pytest.raises(SystemFault, match="only queues"):
        Tasks(settings)._own_worker()


def test_a_queue_address_that_cannot_be_used_is_named(
    make_settings: Callable[..., Settings],
) -> None:
    with pytest.raises(InvalidSetting, match="QUEUE_URL"):
        open_queue("amqp://host/x", "builds")


def test_what_redis_was_given_outlives_its_restart(
    make_settings: Callable[..., Settings], redis_server: Redis, redis_url: str
) -> None:
    tasks = Tasks(make_settings(QUEUE_URL=redis_url), Recorder())  # type: ignore[arg-type]
    tasks.woken(["bld-1"])
    tasks.build("bld-2", delay=60)
    redis_server.restart()
    tasks.woken(["bld-3"])
    assert tasks.wake_ups() == 3
    # The schedule's message is moved there by whoever takes it out first.
    while run_one(tasks):
        pass
    assert tasks._worker.built == ["bld-1", "bld-3"]  # type: ignore[union-attr]


def test_a_redis_that_is_gone_is_noticed_soon_and_fails_nothing(
    make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    tasks = Tasks(make_settings(QUEUE_URL="redis://127.0.0.1:9/0"), Recorder())  # type: ignore[arg-type]
    tasks.woken(["bld-1"])
    tasks.build("bld-1", delay=60)
    tasks.deliver()
    assert tasks.wake_ups() == 1  # so that nobody tries to fill it
    assert caplog.text.count("the queue cannot be reached") == 4
