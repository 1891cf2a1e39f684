"""Finding what a path names, as far as the caller may see it.

What lies outside of a token's project is answered like what does not exist: its
existence is nobody else's business.
"""

from __future__ import annotations

from typing import Any

from flask import g

from bot.errors import UserError
from bot.models import deployments
from bot.models.rights import Caller
from bot.models.tables import Build, Deployment, Project
from bot.models.tokens import Scope


def caller() -> Caller:
    found: Caller = g.caller
    return found


def visible(rows: Any, column: Any) -> Any:
    """Those rows of a query whose project, named by `column`, exists to the caller.

    Raises `UserError`: `forbidden`, to a token that may not read.
    """
    caller().require(Scope.READ)
    project_ids = caller().project_ids()
    return rows if project_ids is None else rows.where(column.in_(sorted(project_ids)))


def project(project_id: int, scope: Scope) -> Project:
    """Raises `UserError`: `project-not-found`, `forbidden`."""
    found: Project | None = Project.get_or_none(Project.id == project_id)
    if found is None or not _sees(found.id):
        raise UserError("project-not-found", "There is no such project.")
    caller().require_in(scope, found.id)
    return found


def deployment(deployment_id: str, scope: Scope) -> Deployment:
    """Raises `UserError`: `deployment-not-found`, `forbidden`."""
    found: Deployment | None = (
        Deployment.select(Deployment, Project)
        .join(Project)
        .where(Deployment.id == deployment_id)
        .first()
    )
    if found is None or not _sees(found.project_id):
        raise UserError("deployment-not-found", "There is no such deployment.")
    caller().require_in(scope, found.project_id)
    return found


def build(build_id: str, scope: Scope) -> Build:
    """Raises `UserError`: `build-not-found`, `forbidden`."""
    found = deployments.find_build(build_id)
    if found is None or not _sees(found.deployment.project_id):
        raise UserError("build-not-found", "There is no such build.")
    caller().require_in(scope, found.deployment.project_id)
    return found


def _sees(project_id: int) -> bool:
    return caller().scope_in(project_id) is not None
