"""Takes back the builds whose worker is gone, and ends those that nobody ends.

Everything here is a conditional change of a row, so any number of workers may do it at
the same time. Not in charge of the builds that a worker runs itself (`bot.worker`).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from bot.events import BuildFailed, Bus
from bot.holder import Holder
from bot.models import builds
from bot.models.database import Database
from bot.models.ids import now
from bot.models.status import BuildStatus
from bot.models.tables import Build
from bot.settings import Settings

_RETRY_DELAY = 5.0  # seconds before the second attempt; doubled for each further one
# A service that everybody's builds need is away: no build's doing, however often it is tried.
_OUTAGES = frozenset(
    {"database-unavailable", "database-busy", "store-fault", "fetch-failed", "github-unreachable"}
)
_OUTAGE = 3_600_000  # ms since the build was asked for, after which it counts like any fault
_LONGEST_DELAY = 60.0  # seconds
# A commit's fetch may take as long as all of its commands; then its files are published.
_FETCH_AND_COMMANDS = 2
_PUBLISHING = 120  # seconds


class Recovery:
    """`requeue` wakes a worker for a build, in so many seconds."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bus: Bus,
        holder: Holder,
        requeue: Callable[[str, float], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._bus = bus
        self._holder = holder
        self._requeue = requeue

    def look(self) -> None:
        """Deal with every build that has lost its worker, or that its worker has lost."""
        with self._holder.dead() as dead:
            for worker in dead:
                for build in builds.held_by(worker):
                    self.give_up_or_repeat(
                        build, "worker-lost", "The worker was killed while it ran the build."
                    )
        for build in builds.lost(now()):
            self.give_up_or_repeat(build, "worker-lost", "The machine that ran the build was lost.")
        longest = _FETCH_AND_COMMANDS * self._settings.BUILD_TIMEOUT + _PUBLISHING
        for build in builds.begun_before(now() - longest * 1000):
            self._time_out(build, longest)

    def give_up_or_repeat(self, build: Build, code: str, message: str) -> None:
        """A fault of ours: it may pass, but not for ever."""
        held = (build.id, build.worker)
        age = now() - build.created_at
        outage = code in _OUTAGES and age < _OUTAGE
        if outage or build.attempts < builds.LARGEST_ATTEMPTS:
            # The longer an outage lasts, the less often it is looked for its end.
            delay = age / 4000 if outage else _RETRY_DELAY * 2 ** (build.attempts - 1)
            delay = min(max(delay, _RETRY_DELAY), _LONGEST_DELAY) * random.uniform(0.8, 1.2)  # noqa: S311
            with self._database.write():
                repeated = builds.hand_back(*held, uncounted=outage, delay=int(delay * 1000))
            if repeated:
                self._requeue(build.id, delay)
            return
        with self._database.write():
            if builds.fail(*held, BuildStatus.ERRORED, code, message, {}):
                self._bus.publish(BuildFailed(build.deployment_id, build.id))

    def _time_out(self, build: Build, seconds: int) -> None:
        """Its worker, if it is still at it, learns that the build is no longer wanted."""
        message = f"The build took longer than {seconds} s in all, and was ended from outside."
        held = (build.id, build.worker)
        with self._database.write():
            if builds.fail(*held, BuildStatus.TIMED_OUT, "timed-out", message, {}):
                self._bus.publish(BuildFailed(build.deployment_id, build.id))
