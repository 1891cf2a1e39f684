"""Has the other projects of a repository built, with its main one.

Which there are is read out of the commit by the main project's build (`bot.builders`); how
their rows look is `bot.models.parts`' affair. A part's build begins only behind that of the
main project: so what a fork's commit has to wait for, its parts wait for, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.events import BuildCompleted, Bus, DeploymentCreated
from bot.models import builds, parts, sql
from bot.models.database import Database
from bot.models.deployments import Requested
from bot.models.tables import Build


def request(
    database: Database, bus: Bus, build: Build, names: Sequence[str]
) -> list[Requested] | None:
    """Request the builds of the named parts of a running build's commit, in their order.

    `None`: nobody wants the commit any more, and so nobody wants its parts.
    """
    with database.write():
        sql.lock_project_of(build.id)
        if not builds.is_held(build.id, build.worker):
            return None
        requested = parts.request(build.deployment_id, names)
        announce(bus, requested)
    return requested


def request_again(bus: Bus, requested: Requested) -> tuple[str, ...]:
    """What was asked for of a commit's main project is asked for of its known parts; answers
    the builds that a worker has to be woken for. The caller holds a transaction.

    Where a build of the main project was queued, that asks for them itself.
    """
    if requested.created:
        return ()
    return announce(bus, parts.request_again(requested.deployment_id))


def announce(bus: Bus, requested: Iterable[Requested]) -> tuple[str, ...]:
    """Publish what the requests came to, inside their transaction; answers the new builds."""
    created = []
    for one in requested:
        told = (one.deployment_id, one.build_id)
        if one.ready:
            bus.publish(BuildCompleted(*told))
        elif one.build_id:
            bus.publish(DeploymentCreated(*told))
        if one.created:
            created.append(one.build_id)
    return tuple(created)
