"""Names that people give to deployments by hand, beside those that pushes move.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

import re

from bot.errors import UserError
from bot.models import projects, sql
from bot.models.addresses import address
from bot.models.status import AliasKind, DeploymentStatus
from bot.models.tables import Alias, Deployment, Project

# What an address makes of a name is the name itself: no two names share an address.
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST = 63
# Where production and pull requests are found.
_RESERVED = re.compile(r"production|pr-[0-9]+")
_MOST = 100  # of one project

_TAKEN = """
SELECT kind, name FROM aliases WHERE address = ? AND NOT (project_id = ? AND kind = 'custom')
"""
_BRANCHES = f"SELECT name FROM refs WHERE project_id = {sql.REPOSITORY} AND NOT deleted"


def point(project: Project, name: str, deployment_id: str) -> Alias:
    """Make a name lead to a live deployment of the project, wherever it led before.

    Raises `UserError`: `invalid-alias`, `alias-taken` (a branch has its address),
    `deployment-not-found`, `conflict`, `too-many-aliases`.
    """
    sql.lock_project(project.id)
    _check(project, name)
    deployment: Deployment | None = Deployment.get_or_none(
        Deployment.id == deployment_id, Deployment.project == project.id
    )
    if deployment is None:
        raise UserError("deployment-not-found", "The project has no such deployment.")
    if deployment.status != DeploymentStatus.READY:
        raise UserError("conflict", f"The deployment is {deployment.status}, not ready.")
    if _find(project.id, name) is None and _count(project.id) >= _MOST:
        raise UserError("too-many-aliases", f"A project has {_MOST} aliases at most.")
    projects.point_alias(project.id, AliasKind.CUSTOM, name, deployment_id)
    return by_hand(project.id, name)


def remove(project_id: int, name: str) -> None:
    """Take a name away that was given by hand. Raises `UserError`: `alias-not-found`."""
    sql.lock_project(project_id)
    Alias.delete().where(Alias.id == by_hand(project_id, name).id).execute()


def by_hand(project_id: int, name: str) -> Alias:
    """A name that was given by hand. Raises `UserError`: `alias-not-found`."""
    found = _find(project_id, name)
    if found is None:
        raise UserError("alias-not-found", f"No alias {name[:_LONGEST]} was set by hand here.")
    return found


def _check(project: Project, name: str) -> None:
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise UserError(
            "invalid-alias",
            f"An alias has up to {_LONGEST} small letters and digits, with single hyphens between.",
            "Such as `demo` or `release-2`.",
        )
    if _RESERVED.fullmatch(name):
        raise UserError(
            "alias-taken",
            f"{name} leads where pushes and pull requests say.",
            "To move production, promote a deployment.",
        )
    where = address(AliasKind.CUSTOM, name, project.name)
    taken = sql.first(_TAKEN, where, project.id)
    branches = (row[0] for row in sql.rows(_BRANCHES, project.id))
    branch = next(
        (row for row in branches if address(AliasKind.BRANCH, row, project.name) == where), ""
    )
    if taken is not None or branch:
        kind, label = taken if taken is not None else (AliasKind.BRANCH, branch)
        raise UserError("alias-taken", f"The {kind} {label} has this address.", "Choose another.")


def _find(project_id: int, name: str) -> Alias | None:
    found: Alias | None = Alias.get_or_none(
        Alias.project == project_id, Alias.kind == AliasKind.CUSTOM, Alias.name == name
    )
    return found


def _count(project_id: int) -> int:
    mine = (Alias.project == project_id) & (Alias.kind == AliasKind.CUSTOM)
    return int(Alias.select().where(mine).count())
