"""Deployments that no commit stands behind: uploads, and repositories by address.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

import re

from bot.errors import UserError
from bot.models import sql, users
from bot.models.addresses import slug
from bot.models.deployments import Requested, queue_build
from bot.models.ids import now
from bot.models.status import GONE, DeploymentStatus
from bot.models.tables import Deployment, Project
from bot.models.users import Role

# A repository's project is `owner/name`; a name for uploads has no slash.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def project_for(name: str, user_id: int | None = None) -> Project:
    """The project that uploads of this name go to, made where there is none.

    Who makes it, if a user, owns it.

    Raises `UserError`: `invalid-project-name`, `project-name-taken` (another project has
    the same address), `project-not-connected` (of a repository that is not connected).
    """
    known: Project | None = Project.get_or_none(Project.name == name)
    if known is not None:
        return known
    if "/" in name:
        raise UserError(
            "project-not-connected",
            f"No project {name} is connected.",
            "Push to it, or connect it.",
        )
    if not _NAME.fullmatch(name):
        raise UserError(
            "invalid-project-name",
            "A project's name has up to 63 small letters, digits, dots, hyphens and underscores.",
        )
    # Production addresses are made of names: nobody may take another's.
    wanted = slug(name)
    if any(slug(row.name) == wanted for row in Project.select(Project.name)):
        raise UserError(
            "project-name-taken", f"Another project has the address {wanted}.", "Choose a name."
        )
    time = now()
    created: Project = Project.create(name=name, created_at=time, updated_at=time)
    if user_id is not None:
        users.join(created.id, user_id, Role.OWNER)
    return created


def request(
    deployment_id: str,
    project_id: int,
    *,
    source: str,
    ref: str,
    environment: str,
    user_id: int | None = None,
) -> Requested:
    """Record a deployment and queue its build. `source` is `upload` or `url`."""
    time = now()
    Deployment.create(
        id=deployment_id,
        user=user_id,
        project=project_id,
        sha=None,
        ref=ref,
        source=source,
        environment=environment,
        status=DeploymentStatus.PENDING,
        created_at=time,
        updated_at=time,
    )
    return queue_build(deployment_id)


def withdraw(deployment_id: str) -> None:
    """Take back a deployment that never came to be."""
    Deployment.delete().where(Deployment.id == deployment_id).execute()


def is_known(deployment_id: str) -> bool:
    """Whether a deployment is there, and not deleted."""
    found = Deployment.select().where(
        Deployment.id == deployment_id, Deployment.status.not_in(GONE)
    )
    return bool(found.exists())


_NEWEST_READY = """
SELECT d.id FROM deployments d JOIN projects p ON p.id = d.project_id
WHERE p.name = ? AND d.status = 'ready' ORDER BY d.created_at DESC LIMIT 1
"""


def newest_ready(project: str) -> str:
    """Id of the newest live deployment of the project of this name; empty: none yet."""
    found = sql.first(_NEWEST_READY, project)
    return str(found[0]) if found is not None else ""
