"""Tells of builds that have to wait what they wait for, now and then and only what is news."""

from __future__ import annotations

from bot.events import BuildWaits, Bus
from bot.models import builds, chores, foresight
from bot.models.database import Database
from bot.models.ids import now

# Code hosts count what they are told: GitHub allows 80 writes in a minute.
_MOST = 20
_EVERY = 55_000  # ms
# Whoever waits no longer than this need not be told.
_PATIENCE = 20_000  # ms


class Explainer:
    """One worker of all does it, once a minute. `limit` is PROJECT_CONCURRENCY."""

    def __init__(self, database: Database, bus: Bus, holder: str, limit: int) -> None:
        self._database = database
        self._bus = bus
        self._holder = holder
        self._limit = limit

    def look(self) -> None:
        prospects = foresight.waiting(self._limit)
        if not prospects or not chores.take("explain-queue", self._holder, _EVERY):
            return
        told = 0
        for build_id, waiting in list(prospects.items())[:_MOST]:
            with self._database.write(durable=False):
                deployment_id = builds.tell(build_id, waiting.text, now() - _PATIENCE)
                if deployment_id:
                    self._bus.publish(BuildWaits(deployment_id, build_id, waiting.text))
                    told += 1
        chores.complete("explain-queue", self._holder, {"told": told})
