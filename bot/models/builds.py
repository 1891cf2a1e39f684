"""A build's life, from its worker's side.

Every transition is one conditional UPDATE: whoever changes the row first has it,
and a worker whose build was superseded, cancelled or given to another learns so
from the answer `False`. Callers hold a transaction around everything that writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.models import sql
from bot.models.ids import now
from bot.models.status import RUNNING, BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment, File

# A worker renews its lease several times within this; one that is gone doesn't.
LEASE = 30_000  # ms
# How often a build is taken up again after our own faults (not the user's).
LARGEST_ATTEMPTS = 3

_CLAIM = """
UPDATE builds SET status = 'cloning', worker = ?, logs = ?, framework = '',
    attempts = attempts + 1, started_at = ?, lease_until = ?
WHERE id = ? AND status = 'queued'
"""
_WITHIN_LIMIT = """
    AND (SELECT COUNT(*) FROM builds r WHERE r.project_id = builds.project_id
        AND r.status IN ('cloning', 'building', 'publishing')) < ?
"""
_TELL = """
UPDATE builds SET told = ?
WHERE id = ? AND status = 'queued' AND created_at < ? AND told <> ? RETURNING deployment_id
"""
_ADD_FILES = "INSERT INTO files (deployment_id, path, size, mime_type, digest) VALUES"
# Databases limit a statement's values; SQLite's older builds to 999.
_FILES_AT_ONCE = 150


def claim(build_id: str, worker: str, logs: str = "", limit: int = 0) -> bool:
    """Take a queued build for `worker`; `logs` is where its log will be.

    `limit`: unless so many of its project's run already; 0: however many do.
    """
    sql.lock_project_of(build_id)
    time = now()
    values = (worker, logs, time, time + LEASE, build_id)
    if limit:
        return bool(sql.execute(_CLAIM + _WITHIN_LIMIT, *values, limit).rowcount)
    return bool(sql.execute(_CLAIM, *values).rowcount)


def advance(build_id: str, worker: str, status: BuildStatus) -> bool:
    """Enter the next running state; `False`: the build is no longer this worker's."""
    return _change_mine(build_id, worker, status=status, lease_until=now() + LEASE)


def renew(build_id: str, worker: str) -> bool:
    """Keep the lease; `False`: stop, the build is no longer this worker's."""
    kept: int = Build.update(lease_until=now() + LEASE).where(_held(build_id, worker)).execute()
    return kept == 1


def tell(build_id: str, text: str, before: int) -> str:
    """Remember what is told of a waiting build's place; the id of its deployment.

    Empty: it was told already, or the build waits no more, or only since `before` (ms).
    """
    sql.lock_project_of(build_id)
    found = sql.first(_TELL, text, build_id, before, text)
    return str(found[0]) if found is not None else ""


def describe(build_id: str, framework: str) -> None:
    Build.update(framework=framework).where(Build.id == build_id).execute()


def warn(build_id: str, warnings: Sequence[str]) -> None:
    """Keep what is amiss in a build that is live all the same."""
    if warnings:
        Build.update(warnings=json.dumps(warnings)).where(Build.id == build_id).execute()


def succeed(
    build_id: str,
    worker: str,
    stages: Mapping[str, float],
    files: Iterable[tuple[str, int, str, str]],
) -> bool:
    """The deployment is live. `files` are (path, size, MIME type, digest)."""
    ended = _end(build_id, worker, BuildStatus.READY, stages)
    if ended:
        deployment_id = Build.get_by_id(build_id).deployment_id
        File.delete().where(File.deployment == deployment_id).execute()
        _add_files(deployment_id, list(files))
        _set_deployment(deployment_id, DeploymentStatus.READY)
    return ended


def _add_files(deployment_id: str, files: Sequence[tuple[str, int, str, str]]) -> None:
    """Some hundred rows a statement: half the time of a statement for each."""
    for start in range(0, len(files), _FILES_AT_ONCE):
        some = files[start : start + _FILES_AT_ONCE]
        marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(some))
        values = [value for file in some for value in (deployment_id, *file)]
        sql.execute(f"{_ADD_FILES} {marks}", *values)


def fail(
    build_id: str,
    worker: str,
    status: BuildStatus,
    code: str,
    message: str,
    stages: Mapping[str, float],
) -> bool:
    """The build ended without a deployment."""
    ended = _end(build_id, worker, status, stages, error_code=code, error_message=message)
    if ended:
        _set_deployment(Build.get_by_id(build_id).deployment_id, DeploymentStatus.FAILED)
    return ended


def ignore(build_id: str, worker: str, reason: str, stages: Mapping[str, float]) -> bool:
    """The project's own rules say that the commit is not built."""
    ended = _end(build_id, worker, BuildStatus.IGNORED, stages, error_message=reason)
    if ended:
        _set_deployment(Build.get_by_id(build_id).deployment_id, DeploymentStatus.SKIPPED)
    return ended


def hand_back(build_id: str, worker: str, *, uncounted: bool = False, delay: int = 0) -> bool:
    """Queue the build again: its worker stops (`uncounted`), or a fault of ours may pass.

    It keeps its place, or is taken up in `delay` ms at the earliest.
    """
    changes: dict[str, object] = {
        "status": BuildStatus.QUEUED,
        "worker": "",
        "lease_until": 0,
        "due_at": now() + delay if delay else Build.created_at,
    }
    if uncounted:
        changes["attempts"] = Build.attempts - 1
    return _change_mine(build_id, worker, **changes)


def is_held(build_id: str, worker: str) -> bool:
    """Whether the build is still running and this worker's."""
    return bool(Build.select().where(_held(build_id, worker)).exists())


def held_by(worker: str) -> list[Build]:
    """The builds that a worker process holds, under whichever of its claims."""
    mine = Build.worker.startswith(f"{worker}:")
    return list(Build.select().where(Build.status.in_(RUNNING), mine))


def still_queued(build_ids: Iterable[str]) -> list[str]:
    """Those of `build_ids` that wait for a worker, oldest first."""
    rows = Build.select(Build.id).where(
        Build.id.in_(list(build_ids)), Build.status == BuildStatus.QUEUED
    )
    return [row.id for row in rows.order_by(Build.created_at, Build.id)]


def lost(time: int) -> list[Build]:
    """Running builds whose lease ran out before `time`: their worker is gone."""
    return list(Build.select().where(Build.status.in_(RUNNING), Build.lease_until < time))


def begun_before(time: int) -> list[Build]:
    """Running builds that were taken up before `time`, by a worker that is there."""
    return list(
        Build.select().where(
            Build.status.in_(RUNNING), Build.started_at < time, Build.lease_until >= now()
        )
    )


def _end(
    build_id: str, worker: str, status: BuildStatus, stages: Mapping[str, float], **columns: object
) -> bool:
    rounded = {name: round(seconds, 4) for name, seconds in stages.items()}
    return _change_mine(
        build_id, worker, status=status, completed_at=now(), stages=json.dumps(rounded), **columns
    )


def _change_mine(build_id: str, holder: str, **columns: object) -> bool:
    sql.lock_project_of(build_id)
    changed: int = Build.update(**columns).where(_held(build_id, holder)).execute()
    return changed == 1


def _held(build_id: str, holder: str) -> Any:
    """The condition that a build is running and `holder`'s."""
    return (Build.id == build_id) & (Build.worker == holder) & Build.status.in_(RUNNING)


def _set_deployment(deployment_id: str, status: DeploymentStatus) -> None:
    Deployment.update(status=status, updated_at=now()).where(
        Deployment.id == deployment_id
    ).execute()
