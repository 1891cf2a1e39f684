"""What serving asks the database: which deployment does an address mean, and in what state."""

from __future__ import annotations

from dataclasses import dataclass

from bot.models import deployments
from bot.models.status import DeploymentStatus
from bot.models.tables import Deployment


@dataclass(frozen=True, slots=True)
class Found:
    """A deployment as serving sees it. `build_id` is its newest build, if any."""

    deployment_id: str
    sha: str
    project: str
    environment: str
    status: str
    build_id: str = ""
    build_status: str = ""
    problem: str = ""


def by_key(key: str) -> list[Found]:
    """The deployments that a commit SHA, the beginning of one, or a deployment id may mean.

    Those that can be served come first. One SHA may be deployed by several projects.
    """
    if key.startswith("dpl-"):
        rows = list(Deployment.select().where(Deployment.id == key))
    else:
        rows = deployments.by_sha(key)
    return [_found(row) for row in rows]


def _found(row: Deployment) -> Found:
    project = row.project
    ready = row.status == DeploymentStatus.READY
    # A finished deployment's builds are nobody's concern here.
    build = None if ready else deployments.newest_build(row.id)
    return Found(
        deployment_id=row.id,
        sha=row.sha or "",
        project=project.name,
        environment=row.environment,
        status=str(row.status),
        build_id=build.id if build is not None else "",
        build_status=str(build.status) if build is not None else "",
        problem=build.error_message if build is not None else "",
    )
