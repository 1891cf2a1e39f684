"""Finding what a path names, as far as the caller may see it.

What lies outside of a token's project is answered like what does not exist: its
existence is nobody else's business.
"""

from __future__ import annotations

from flask import g

from bot.api.authentication import Caller
from bot.errors import UserError
from bot.models import deployments
from bot.models.tables import Build, Deployment, Project
from bot.models.tokens import Scope


def caller() -> Caller:
    found: Caller = g.caller
    return found


def project(project_id: int, scope: Scope) -> Project:
    """Raises `UserError`: `project-not-found`, `forbidden`."""
    found: Project | None = Project.get_or_none(Project.id == project_id)
    if found is None or not _sees(found.id):
        raise UserError("project-not-found", "There is no such project.")
    caller().require(scope, found.name)
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
    caller().require(scope, found.project.name)
    return found


def build(build_id: str, scope: Scope) -> Build:
    """Raises `UserError`: `build-not-found`, `forbidden`."""
    found = deployments.find_build(build_id)
    if found is None or not _sees(found.deployment.project_id):
        raise UserError("build-not-found", "There is no such build.")
    caller().require(scope, found.deployment.project.name)
    return found


def _sees(project_id: int) -> bool:
    return caller().project_id in (None, project_id)
