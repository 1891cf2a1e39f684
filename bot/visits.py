"""Builds commits that were visited and never built, where a project has that turned on.

Whichever process serves the visit only writes down what was asked for, since some of
them know no queue. The worker looks there a few times a second, for which one query of
an almost always empty table is cheap enough.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from bot.builders.reachable import Histories
from bot.builders.source import TokenFor
from bot.errors import DeployStackError
from bot.events import Bus, DeploymentCreated
from bot.models import deployments, wanted
from bot.models.database import Database
from bot.models.wanted import Offering
from bot.settings import Settings

logger = logging.getLogger(__name__)

_LOOK = 0.25  # seconds between looks at what was asked for


class Visits:
    """Looks for visited commits in the branches and tags of projects that offer it."""

    def __init__(
        self, settings: Settings, database: Database, bus: Bus, token_for: TokenFor
    ) -> None:
        self._settings = settings
        self._database = database
        self._bus = bus
        self._histories = Histories(settings.DATA_DIR / "histories", token_for)

    def watch(self, requeue: Callable[[str, float], None], stopping: threading.Event) -> None:
        """Look again and again, until the worker stops."""
        while not stopping.wait(_LOOK):
            try:
                self.look(requeue)
            except Exception:  # the database may be back at the next look
                logger.exception("visited commits could not be looked for")

    def look(self, requeue: Callable[[str, float], None]) -> None:
        """Request the builds of what is found; `requeue` wakes a worker for them."""
        for sha in wanted.asked():
            found = next(filter(None, (self._found(p, sha) for p in wanted.offering())), None)
            with self._database.write():
                wanted.conclude(sha, found=found is not None)
                if found is None:
                    continue
                project, ref = found
                asked = deployments.request_build(project.id, sha, ref, "visit", "preview")
                if asked.created:
                    self._bus.publish(DeploymentCreated(asked.deployment_id, asked.build_id))
            if asked.created:
                requeue(asked.build_id, 0)

    def _found(self, project: Offering, sha: str) -> tuple[Offering, str] | None:
        url = self._settings.clone_url(project.name)
        try:
            name = self._histories.name_reaching(project.name, url, sha)
        except DeployStackError as error:
            logger.warning("visit to %s: %s: %s", sha, project.name, error)
            return None
        return (project, name) if name else None
