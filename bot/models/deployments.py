"""Asking for a deployment, and finding one.

Callers hold a transaction (`database.write()`) around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from bot.models import sql
from bot.models.ids import new_id, now
from bot.models.status import ACTIVE, BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment, Project, Table

_IDS_AT_ONCE = 200


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


_FIND = """
SELECT d.id, d.status, d.environment, d.trusted, b.id, b.status
FROM deployments d LEFT JOIN builds b ON b.deployment_id = d.id
WHERE d.project_id = ? AND d.sha = ?
ORDER BY b.created_at DESC, b.id DESC LIMIT 1
"""
_CREATE = """
INSERT INTO deployments
    (id, project_id, sha, ref, source, environment, trusted, status, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, sha) DO NOTHING
"""
_QUEUE = """
INSERT INTO builds
    (id, deployment_id, status, logs, framework, stages, error_code, error_message,
     attempts, worker, delivery, lease_until, fresh, told, created_at, due_at, project_id, priority)
SELECT ?, d.id, 'queued', '', '', '{}', '', '', 0, '', '', 0, ?, '', ?, ?, d.project_id,
    CASE WHEN ? THEN 2 WHEN d.environment = 'production' THEN 0 ELSE 1 END
FROM deployments d WHERE d.id = ?
"""
_CAME_BY = "UPDATE builds SET delivery = ? WHERE id = ? AND delivery = ''"
_SET_STATUS = "UPDATE deployments SET status = ?, updated_at = ? WHERE id = ?"
# The preview's entry at the code host stays what it was; production gets its own.
_PROMOTE = """
UPDATE deployments SET environment = 'production', ref = ?, remote_id = NULL, updated_at = ?
WHERE id = ?
"""
_HURRY = "UPDATE builds SET priority = 0 WHERE deployment_id = ? AND status = 'queued'"


# What was built with other variables, or (of a fork's commit) with none, gives way.
_BECOMES = """
UPDATE deployments SET trusted = ?, ref = ?, source = ?, environment = ?, status = ?,
    remote_id = NULL, updated_at = ? WHERE id = ?
"""
_OWN_VARIABLES = """
SELECT 1 FROM projects p JOIN variables v ON v.project_id IN (p.id, p.main_id)
WHERE p.id = ? AND (v.context <> 'all' OR v.branch <> '') LIMIT 1
"""
_UNFINISHED = """
SELECT id FROM builds WHERE deployment_id = ?
    AND status IN ('queued', 'cloning', 'building', 'publishing')
"""


def came_by(build_id: str, delivery: str) -> None:
    """Note which delivery asked for a build, so that the log can name it."""
    sql.execute(_CAME_BY, delivery, build_id)


def request_build(
    project_id: int,
    sha: str,
    ref: str,
    source: str,
    environment: str,
    *,
    trusted: bool = True,
) -> Requested:
    """Queue a build of `sha`, unless the commit has one: one build per (project, commit).

    An automatic request never repeats a failed build: pushing a commit and opening a
    pull request for it are two events of one wish. `retry_build` is for repeating. A
    preview whose commit reaches the production branch becomes production, and is built
    anew where the project has variables for one of the two alone.

    `trusted=False` is for a commit out of a fork that was approved. Once the commit is
    on a branch of the project's own it is trusted, and built anew, with secrets.
    """
    pending = DeploymentStatus.PENDING
    created = _create(project_id, sha, ref, source, environment, pending, trusted=trusted)
    if created:
        return queue_build(created)
    found = sql.first(_FIND, project_id, sha)
    assert found is not None  # noqa: S101 (the insert met it)
    deployment_id, status, known_environment, known_trusted, build_id, build_status = found
    if trusted and not known_trusted:
        return _build_anew(deployment_id, ref, source, environment)
    if status == DeploymentStatus.EXPIRED:
        own = bool(known_trusted)
        return _build_anew(deployment_id, ref, source, environment, trusted=own)
    if status == DeploymentStatus.SKIPPED and build_id is None:
        return Requested(deployment_id, "", created=False, ready=False)
    if environment == "production" != known_environment:
        # What was ignored on its branch is looked at again: production shows another commit.
        ignored = build_status == BuildStatus.IGNORED
        if ignored or sql.first(_OWN_VARIABLES, project_id) is not None:
            return _build_anew(deployment_id, ref, source, environment)
        sql.execute(_PROMOTE, ref, now(), deployment_id)
        sql.execute(_HURRY, deployment_id)
    if build_status in (None, BuildStatus.SUPERSEDED, BuildStatus.CANCELLED):
        sql.execute(_SET_STATUS, DeploymentStatus.PENDING, now(), deployment_id)
        return queue_build(deployment_id)
    ready = status == DeploymentStatus.READY
    return Requested(deployment_id, build_id, created=False, ready=ready)


def _build_anew(
    deployment_id: str, ref: str, source: str, environment: str, *, trusted: bool = True
) -> Requested:
    """What was built, or is being built, is not what is wanted: other variables count, or
    it is no longer kept."""
    time = now()
    for (build_id,) in sql.rows(_UNFINISHED, deployment_id):
        sql.execute(_SUPERSEDE, time, "", build_id)
    pending = DeploymentStatus.PENDING
    sql.execute(_BECOMES, trusted, ref, source, environment, pending, time, deployment_id)
    return queue_build(deployment_id)


def of_commit(project_id: int, sha: str) -> Requested | None:
    """A commit's newest build as it is, nothing requested; `None`: it was never deployed."""
    found = sql.first(_FIND, project_id, sha)
    if found is None:
        return None
    ready = found[1] == DeploymentStatus.READY
    return Requested(found[0], found[4] or "", created=False, ready=ready)


def skip(project_id: int, sha: str, ref: str) -> bool:
    """Remember that a commit asked for no build, whichever event names it next.

    `False`: it is deployed, or was skipped before.
    """
    return bool(_create(project_id, sha, ref, "push", "preview", DeploymentStatus.SKIPPED))


def retry_build(deployment_id: str, *, fresh: bool = False) -> Requested:
    """Queue another build of a deployment, unless one is queued or running.

    `fresh`: nothing of earlier builds is used, and no rule of the project's ignores it.
    """
    sql.lock_project_of(deployment_id)
    newest = newest_build(deployment_id)
    if newest is not None and newest.status in ACTIVE:
        return Requested(deployment_id, newest.id, created=False, ready=False)
    sql.execute(_SET_STATUS, DeploymentStatus.PENDING, now(), deployment_id)
    return queue_build(deployment_id, fresh=fresh, again=True)


def _create(
    project_id: int,
    sha: str,
    ref: str,
    source: str,
    environment: str,
    status: DeploymentStatus,
    *,
    trusted: bool = True,
) -> str:
    """The id of a new deployment; empty: the project has one of this commit."""
    deployment_id = new_id("dpl")
    time = now()
    own = (deployment_id, project_id, sha, ref, source, environment, trusted, status)
    created = sql.execute(_CREATE, *own, time, time).rowcount
    return deployment_id if created else ""


def queue_build(deployment_id: str, *, fresh: bool = False, again: bool = False) -> Requested:
    """Queue a build of a deployment that has none queued or running.

    `again`: somebody repeats it, and what was never built goes first (`bot.models.queue`).
    """
    build_id, time = new_id("bld"), now()
    sql.execute(_QUEUE, build_id, fresh, time, time, again, deployment_id)
    return Requested(deployment_id, build_id, created=True, ready=False)


_UNWANTED = """
SELECT d.id, b.id
FROM deployments d JOIN builds b ON b.deployment_id = d.id
    JOIN projects m ON m.id = d.project_id
WHERE d.sha = ? AND ? IN (m.id, m.main_id)
    AND (b.status IN ('queued', 'cloning', 'building')
         OR (b.status = 'publishing' AND d.environment <> 'production'))
    AND NOT EXISTS (
        SELECT 1 FROM refs r WHERE r.project_id = COALESCE(m.main_id, m.id) AND r.sha = d.sha
            AND r.name <> ? AND NOT r.deleted)
    AND NOT EXISTS (
        SELECT 1 FROM pull_requests p
        WHERE p.project_id = COALESCE(m.main_id, m.id) AND p.head_sha = d.sha
            AND p.open AND (p.head_ref <> ? OR p.fork))
"""
_SUPERSEDE = """
UPDATE builds SET status = 'superseded', completed_at = ?, error_message = ? WHERE id = ?
"""


def supersede(project_id: int, ref: str, replaced: str, reason: str = "") -> list[tuple[str, str]]:
    """Give up the unfinished builds of `replaced`, a commit that `ref` has left behind.

    `reason`: why, where that is not a newer commit.

    A commit that another branch or pull request still points at is still wanted, and
    a production build that is publishing goes on: half a release helps nobody. So it is
    with all projects of the repository. Returns (deployment id, build id) of each build
    given up.
    """
    unwanted = sql.rows(_UNWANTED, replaced, project_id, ref, ref)
    time = now()
    for deployment_id, build_id in unwanted:
        sql.execute(_SUPERSEDE, time, reason, build_id)
        sql.execute(_SET_STATUS, DeploymentStatus.FAILED, time, deployment_id)
    return unwanted


def newest_build(deployment_id: str) -> Build | None:
    found = _builds("WHERE b.deployment_id = ?", deployment_id, limit=1)
    return found[0] if found else None


def builds_of_commit(sha: str) -> list[Build]:
    """All builds of a commit, newest first, each with its deployment and project.

    Where its repository has several projects, those of the main one come first.
    """
    found = _builds("WHERE d.sha = ?", sha)
    return sorted(found, key=lambda build: build.deployment.project.main_id is not None)


def find_build(build_id: str) -> Build | None:
    """A build with its deployment and project."""
    found = _builds("WHERE b.id = ?", build_id)
    return found[0] if found else None


def builds_of_ids(
    build_ids: Sequence[str], project_ids: Collection[int] | None, limit: int
) -> list[Build]:
    """The first of these builds that still wait, in this order, of these projects (`None`:
    all), each with its deployment and project."""
    found: list[Build] = []
    for start in range(0, len(build_ids), _IDS_AT_ONCE):
        some = build_ids[start : start + _IDS_AT_ONCE]
        places = ", ".join("?" * len(some))
        rows = _builds(f"WHERE b.status = 'queued' AND b.id IN ({places})", *some)
        known = {row.id: row for row in rows}
        for build_id in some:
            row = known.get(build_id)
            if row is not None and (project_ids is None or row.project_id in project_ids):
                found.append(row)
        if len(found) >= limit:
            break
    return found[:limit]


def build_status(build_id: str) -> str:
    """A build's status; empty: there is no such build."""
    found = sql.first("SELECT status FROM builds WHERE id = ?", build_id)
    return str(found[0]) if found is not None else ""


def recent_builds(limit: int = 25, *, private: bool = True) -> list[Build]:
    """The newest builds of all projects, each with its deployment and project.

    `private`: whether those of private repositories are among them.
    """
    return _builds("" if private else "WHERE NOT p.private", limit=limit)


def _builds(condition: str, *values: object, limit: int = 1000) -> list[Build]:
    """Builds with their deployments and projects, newest first.

    Every change of a build's state is told by way of this, so it goes without the
    query builder. `condition` speaks of b(uilds), d(eployments) and p(rojects).
    """
    found = sql.rows(
        f"{_BUILDS} {condition} ORDER BY b.created_at DESC, b.id DESC LIMIT ?", *values, limit
    )
    return [_build(row) for row in found]


_FIELDS: dict[type[Table], list[str]] = {
    model: [field.name for field in model._meta.sorted_fields]
    for model in (Build, Deployment, Project)
}
_BUILDS = (
    "SELECT "
    + ", ".join(
        f"{name}.{field.column_name}"
        for name, model in (("b", Build), ("d", Deployment), ("p", Project))
        for field in model._meta.sorted_fields
    )
    + " FROM builds b JOIN deployments d ON d.id = b.deployment_id"
    " JOIN projects p ON p.id = d.project_id"
)


def _build(row: tuple[Any, ...]) -> Build:
    values = iter(row)
    build, deployment, project = (_loaded(m, values) for m in (Build, Deployment, Project))
    project.__data__["private"] = bool(project.private)  # SQLite answers a number
    deployment.__rel__["project"] = project
    build.__rel__["deployment"] = deployment
    return cast(Build, build)


def _loaded(model: type[Table], values: Iterator[Any]) -> Any:
    """An instance as a query of the model would make it, of the next of `values`."""
    instance = model(__no_default__=True)
    names = _FIELDS[model]
    instance.__data__.update(zip(names, islice(values, len(names)), strict=True))
    return instance


def by_sha(prefix: str, limit: int = 10) -> list[Deployment]:
    """Deployments whose commit SHA begins with `prefix`: live ones first, then the oldest.

    Of several projects of one repository the main one has the commit's address.
    """
    ready = Deployment.status == DeploymentStatus.READY
    return list(
        Deployment.select(Deployment, Project)
        .join(Project)
        .where(Deployment.sha >= prefix, Deployment.sha < prefix + "g", Project.main.is_null())
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


def project_of(deployment_id: str) -> int | None:
    """The project that a deployment belongs to; `None`: there is no such deployment."""
    found = sql.first("SELECT project_id FROM deployments WHERE id = ?", deployment_id)
    return int(found[0]) if found is not None else None


_LIVE = """
SELECT id FROM deployments
WHERE project_id IN (SELECT id FROM projects WHERE id = ? OR main_id = ?) AND status = 'ready'
"""


def live(project_id: int) -> list[str]:
    """Ids of all of a project's deployments that are served; of a main project's, those of
    the other projects of its repository, too."""
    return [row[0] for row in sql.rows(_LIVE, project_id, project_id)]


def previews_of_branch(project_id: int, branch: str) -> list[Deployment]:
    """The previews of a branch that the code host knows, or may come to know, of: those of
    all projects of the main project's repository."""
    return list(
        Deployment.select(Deployment)
        .join(Project)
        .where(
            (Project.id == project_id) | (Project.main == project_id),
            Deployment.ref == branch,
            Deployment.environment == "preview",
            Deployment.status != DeploymentStatus.SKIPPED,
        )
    )
