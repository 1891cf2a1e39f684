"""What people change by hand: cancel a build, promote, roll back, delete.

Callers hold a transaction around everything here.
"""

from __future__ import annotations

from bot.errors import UserError
from bot.models import projects, sql
from bot.models.ids import now
from bot.models.status import ACTIVE, AliasKind, BuildStatus, DeploymentStatus
from bot.models.tables import Alias, Build, Deployment, Project


def cancel_build(build_id: str) -> bool:
    """Give a build up; its worker ends it within a second. `False`: it has ended already."""
    sql.lock_project_of(build_id)
    cancelled: int = (
        Build.update(status=BuildStatus.CANCELLED, completed_at=now())
        .where(Build.id == build_id, Build.status.in_(ACTIVE))
        .execute()
    )
    if cancelled:
        # A retry of something live cannot be asked for, so the deployment is not.
        build = Build.get_by_id(build_id)
        _set_status(build.deployment_id, DeploymentStatus.FAILED)
    return cancelled == 1


def in_production(project_id: int) -> Deployment | None:
    """What the project's production leads to now."""
    alias: Alias | None = Alias.get_or_none(
        Alias.project == project_id, Alias.kind == AliasKind.PRODUCTION
    )
    return alias.deployment if alias is not None else None


def promote(project_id: int, deployment_id: str) -> Deployment:
    """Lead production to a deployment: nothing is copied or built. Raises `UserError`."""
    sql.lock_project(project_id)
    deployment: Deployment | None = Deployment.get_or_none(
        Deployment.id == deployment_id, Deployment.project == project_id
    )
    if deployment is None:
        raise UserError("deployment-not-found", "The project has no such deployment.")
    if deployment.status != DeploymentStatus.READY:
        raise UserError("conflict", f"The deployment is {deployment.status}, not ready.")
    if not deployment.trusted:
        raise UserError(
            "conflict",
            "The deployment was built for a pull request from a fork, without secrets.",
            "Merge the pull request: its commit is then built for production.",
        )
    Deployment.update(environment="production", updated_at=now()).where(
        Deployment.id == deployment_id
    ).execute()
    projects.point_alias(project_id, AliasKind.PRODUCTION, "production", deployment_id)
    return deployment


def roll_back(project_id: int) -> Deployment:
    """Lead production to what was live before what is live now. Raises `UserError`."""
    sql.lock_project(project_id)
    current = in_production(project_id)
    if current is None:
        raise UserError("conflict", "Nothing is in production yet.")
    earlier: Deployment | None = (
        Deployment.select()
        .where(
            Deployment.project == project_id,
            Deployment.environment == "production",
            Deployment.status == DeploymentStatus.READY,
            Deployment.created_at < current.created_at,
        )
        .order_by(Deployment.created_at.desc())
        .first()
    )
    if earlier is None:
        raise UserError("conflict", "There is nothing earlier to go back to.")
    projects.point_alias(project_id, AliasKind.PRODUCTION, "production", earlier.id)
    return earlier


def delete_deployment(
    deployment_id: str, status: DeploymentStatus = DeploymentStatus.DELETED
) -> list[str]:
    """Mark a deployment as deleted, or expired; answers the builds that this cancelled.

    Raises `UserError` where production leads to it.
    """
    sql.lock_project_of(deployment_id)
    leads = Alias.select().where(Alias.deployment == deployment_id)
    if any(alias.kind == AliasKind.PRODUCTION for alias in leads):
        raise UserError(
            "conflict", "Production leads to this deployment.", "Promote another one first."
        )
    active = Build.select().where(Build.deployment == deployment_id, Build.status.in_(ACTIVE))
    cancelled = [build.id for build in active if cancel_build(build.id)]
    Alias.delete().where(Alias.deployment == deployment_id).execute()
    _set_status(deployment_id, status)
    return cancelled


def delete_project(project_id: int) -> list[str]:
    """Remove a project with all that hangs on it, the other projects of its repository
    included; answers the ids of their deployments."""
    own = "SELECT d.id FROM deployments d JOIN projects p ON p.id = d.project_id"
    rows = sql.rows(f"{own} WHERE p.id = ? OR p.main_id = ?", project_id, project_id)
    deployment_ids = [row[0] for row in rows]
    Project.delete().where(Project.id == project_id).execute()
    return deployment_ids


def _set_status(deployment_id: str, status: DeploymentStatus) -> None:
    Deployment.update(status=status, updated_at=now()).where(
        Deployment.id == deployment_id
    ).execute()
