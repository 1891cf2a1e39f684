"""Huey's tasks: thin, and each takes ids alone.

Web processes declare the same tasks without a worker behind them: they only put
messages into the queues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from huey import Huey, crontab

from bot.errors import SystemFault
from bot.models.ids import now
from bot.queues import open_queue
from bot.settings import Settings

if TYPE_CHECKING:
    from bot.worker import Worker


logger = logging.getLogger(__name__)


class Tasks:
    """What may be asked of a worker.

    A message that cannot be put into the queue is no failure: what is to be done is in the
    database, where workers look for it by themselves.
    """

    def __init__(self, settings: Settings, worker: Worker | None = None) -> None:
        self.builds: Huey = open_queue(settings.QUEUE_URL, "builds")
        self.chores: Huey = open_queue(settings.QUEUE_URL, "chores")
        self._worker = worker
        # When the outbox is to be looked at next, in ms; only the worker's chores set it.
        self._next_look: int | None = None
        self._build = self.builds.task(name="build")(self._run_build)
        self._deliver = self.chores.task(name="deliver")(self._run_deliver)
        self._expose = self.chores.task(name="expose")(self._run_expose)
        self.chores.periodic_task(crontab(minute="*"), name="check_domains")(
            self._run_check_domains
        )
        self.chores.periodic_task(crontab(minute="*"), name="look_after")(self._run_look_after)

    def build(self, build_id: str, delay: float = 0) -> None:
        """Wake a worker for a queued build, in `delay` seconds.

        Which build it takes up then is decided there (`bot.models.queue`).
        """
        if delay:
            _put(lambda: self._build.schedule((build_id,), delay=delay))
        else:
            _put(lambda: self._build(build_id))

    def wake_ups(self) -> int:
        """How many messages about builds the queue holds that are to be taken out now.

        1 where it cannot be reached: then it need not be filled.
        """
        try:
            return int(self.builds.pending_count())
        except Exception as error:  # whatever the queue's driver raises
            logger.warning("the queue cannot be reached: %s", error)
            return 1

    def deliver(self) -> None:
        """Have the outbox looked at now."""
        _put(self._deliver)

    def expose(self, project_id: int) -> None:
        """Have a project's sites laid out for front servers again."""
        _put(lambda: self._expose(project_id))

    def woken(self, build_ids: Sequence[str]) -> None:
        for build_id in build_ids:
            self.build(build_id)

    def _run_build(self, build_id: str) -> None:
        self._own_worker().take_up(build_id)

    def _run_deliver(self) -> None:
        if self._next_look is not None and self._next_look <= now():
            self._next_look = None
        next_due = self._own_worker().deliver()
        # One wake-up ahead is enough: during an outage every push asks for one.
        if next_due is not None and (self._next_look is None or next_due < self._next_look):
            self._next_look = next_due
            eta = datetime.fromtimestamp(next_due / 1000, UTC)
            _put(lambda: self._deliver.schedule(eta=eta))

    def _run_expose(self, project_id: int) -> None:
        self._own_worker().lay_out_project(project_id)

    def _run_check_domains(self) -> None:
        self._own_worker().check_domains()

    def _run_look_after(self) -> None:
        self._own_worker().look_after()

    def _own_worker(self) -> Worker:
        if self._worker is None:
            raise SystemFault("no-worker", "This process only queues tasks.")
        return self._worker


def _put(message: Callable[[], object]) -> None:
    try:
        message()
    except Exception as error:  # whatever the queue's driver raises
        logger.warning("the queue cannot be reached: %s", error)
