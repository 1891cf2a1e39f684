"""Asking for a deployment, and finding one.

Callers hold a transaction (`database.write()`) around everything here that writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.models.ids import new_id, now
from bot.models.status import ACTIVE, BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment, Project, Ref


@dataclass(frozen=True, slots=True)
class Requested:
    """What a request for a build came to.

    `created`: a build was queued. Otherwise the commit has one already: `ready`
    says that it is live, so that only its state needs to be told again.
    """

    deployment_id: str
    build_id: str
    created: bool
    ready: bool


def request_build(project: Project, sha: str, ref: str, source: str, environment: str) -> Requested:
    """Queue a build of `sha`, unless the commit has one: one build per (project, commit).

    An automatic request never repeats a failed build: pushing a commit and opening a
    pull request for it are two events of one wish. `retry_build` is for repeating.
    """
    deployment = Deployment.get_or_none(Deployment.project == project, Deployment.sha == sha)
    if deployment is not None:
        if deployment.status == DeploymentStatus.SKIPPED:
            return Requested(deployment.id, "", created=False, ready=False)
        newest = newest_build(deployment.id)
        if newest is not None and newest.status not in (
            BuildStatus.SUPERSEDED,
            BuildStatus.CANCELLED,
        ):
            ready = deployment.status == DeploymentStatus.READY
            return Requested(deployment.id, newest.id, created=False, ready=ready)
        return _queue(deployment.id)
    deployment_id = _create(project, sha, ref, source, environment, DeploymentStatus.PENDING)
    return _queue(deployment_id)


def skip(project: Project, sha: str, ref: str) -> None:
    """Remember that a commit asked for no build, whichever event names it next."""
    known = Deployment.select().where(Deployment.project == project, Deployment.sha == sha)
    if not known.exists():
        _create(project, sha, ref, "push", "preview", DeploymentStatus.SKIPPED)


def _create(
    project: Project, sha: str, ref: str, source: str, environment: str, status: DeploymentStatus
) -> str:
    deployment_id = new_id("dpl")
    time = now()
    Deployment.insert(
        id=deployment_id,
        project=project,
        sha=sha,
        ref=ref,
        source=source,
        environment=environment,
        status=status,
        created_at=time,
        updated_at=time,
    ).execute()
    return deployment_id


def retry_build(deployment_id: str) -> Requested:
    """Queue another build of a deployment, unless one is queued or running."""
    newest = newest_build(deployment_id)
    if newest is not None and newest.status in ACTIVE:
        return Requested(deployment_id, newest.id, created=False, ready=False)
    return _queue(deployment_id)


def _queue(deployment_id: str) -> Requested:
    build_id = new_id("bld")
    Build.insert(
        id=build_id, deployment=deployment_id, status=BuildStatus.QUEUED, created_at=now()
    ).execute()
    Deployment.update(status=DeploymentStatus.PENDING, updated_at=now()).where(
        Deployment.id == deployment_id
    ).execute()
    return Requested(deployment_id, build_id, created=True, ready=False)


def supersede_older(project: Project, ref: str, newest_sha: str) -> list[tuple[str, str]]:
    """Give up the unfinished builds of `ref` that are not of `newest_sha`.

    A production build that is publishing already goes on, and so does a commit that
    another branch still points at. Returns (deployment id, build id) of each.
    """
    elsewhere = Ref.select(Ref.sha).where(
        Ref.project == project,
        Ref.name != ref,
        Ref.deleted == False,  # noqa: E712
    )
    doomed = list(
        Build.select(Build.id, Build.status, Deployment.id, Deployment.environment)
        .join(Deployment)
        .where(
            Deployment.project == project,
            Deployment.ref == ref,
            Deployment.sha != newest_sha,
            Deployment.sha.not_in(elsewhere),
            Build.status.in_(ACTIVE),
        )
        .order_by(Build.created_at)
    )
    ended = []
    for build in doomed:
        production = build.deployment.environment == "production"
        if production and build.status == BuildStatus.PUBLISHING:
            continue
        ended.append((build.deployment.id, build.id))
    if ended:
        Build.update(status=BuildStatus.SUPERSEDED, completed_at=now()).where(
            Build.id.in_([build_id for _, build_id in ended])
        ).execute()
        Deployment.update(status=DeploymentStatus.FAILED, updated_at=now()).where(
            Deployment.id.in_([deployment_id for deployment_id, _ in ended])
        ).execute()
    return ended


def newest_build(deployment_id: str) -> Build | None:
    found: Build | None = (
        Build.select()
        .where(Build.deployment == deployment_id)
        .order_by(Build.created_at.desc(), Build.id.desc())
        .first()
    )
    return found


def builds_of_commit(sha: str) -> list[Build]:
    """All builds of a commit, newest first, each with its deployment and project."""
    return list(
        Build.select(Build, Deployment, Project)
        .join(Deployment)
        .join(Project)
        .where(Deployment.sha == sha)
        .order_by(Build.created_at.desc(), Build.id.desc())
    )


def find_build(build_id: str) -> Build | None:
    """A build with its deployment and project."""
    found: Build | None = (
        Build.select(Build, Deployment, Project)
        .join(Deployment)
        .join(Project)
        .where(Build.id == build_id)
        .first()
    )
    return found


def by_sha(prefix: str, limit: int = 10) -> list[Deployment]:
    """Deployments whose commit SHA begins with `prefix`: live ones first, then the oldest."""
    ready = Deployment.status == DeploymentStatus.READY
    return list(
        Deployment.select(Deployment, Project)
        .join(Project)
        .where(Deployment.sha >= prefix, Deployment.sha < prefix + "g")
        .order_by(ready.desc(), Deployment.created_at)
        .limit(limit)
    )


def newest_ready(project_id: int) -> str:
    """Id of the project's newest live deployment; empty: none yet."""
    found: Deployment | None = (
        Deployment.select(Deployment.id)
        .where(Deployment.project == project_id, Deployment.status == DeploymentStatus.READY)
        .order_by(Deployment.created_at.desc())
        .first()
    )
    return found.id if found is not None else ""


def recent_builds(limit: int = 25) -> list[Build]:
    """The newest builds of all projects, each with its deployment and project."""
    return list(
        Build.select(Build, Deployment, Project)
        .join(Deployment)
        .join(Project)
        .order_by(Build.created_at.desc(), Build.id.desc())
        .limit(limit)
    )


def newest_build_of_commit(project_id: int, sha: str) -> Build | None:
    """The newest build of a project's commit, with its deployment and project."""
    found: Build | None = (
        Build.select(Build, Deployment, Project)
        .join(Deployment)
        .join(Project)
        .where(Deployment.project == project_id, Deployment.sha == sha)
        .order_by(Build.created_at.desc(), Build.id.desc())
        .first()
    )
    return found


def previews_of_branch(project_id: int, branch: str) -> list[Deployment]:
    """The previews of a branch that the code host knows, or may come to know, of."""
    return list(
        Deployment.select().where(
            Deployment.project == project_id,
            Deployment.ref == branch,
            Deployment.environment == "preview",
            Deployment.status != DeploymentStatus.SKIPPED,
        )
    )
