"""Rows that nobody needs any more: of builds that led to nothing, and of files that are gone.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.models import sql
from bot.models.status import ACTIVE

# Rows of one statement: others write to the same tables.
_AT_ONCE = 500
# The newest commit of a branch or pull request keeps its builds: that it failed is the answer
# to what has become of it, and without its row the next look at the branch would build it.
_OLD = f"""
FROM builds b JOIN deployments d ON d.id = b.deployment_id
    JOIN projects m ON m.id = d.project_id
WHERE d.project_id = ? AND b.completed_at < ? AND b.status NOT IN ({", ".join("?" * len(ACTIVE))})
    AND (b.status <> 'ready' OR d.status IN ('deleted', 'expired'))
    AND (d.status IN ('ready', 'deleted', 'expired') OR NOT (
        EXISTS (SELECT 1 FROM refs r
            WHERE r.project_id = COALESCE(m.main_id, m.id) AND r.sha = d.sha AND NOT r.deleted)
        OR EXISTS (SELECT 1 FROM pull_requests p
            WHERE p.project_id = COALESCE(m.main_id, m.id) AND p.head_sha = d.sha AND p.open)))
"""
_OLD_BUILDS = (
    f"SELECT b.id, b.logs, b.deployment_id {_OLD} ORDER BY b.completed_at LIMIT {_AT_ONCE}"
)
_COUNT = f"SELECT COUNT(*) {_OLD}"
_DROP_DEPLOYMENT = """
DELETE FROM deployments WHERE id = ? AND status IN ('failed', 'skipped')
    AND NOT EXISTS (SELECT 1 FROM builds b WHERE b.deployment_id = deployments.id)
    AND NOT EXISTS (SELECT 1 FROM aliases a WHERE a.deployment_id = deployments.id)
"""
_WITH_FILES = """
SELECT d.id FROM deployments d
WHERE d.project_id = ? AND d.status IN ('deleted', 'expired')
    AND EXISTS (SELECT 1 FROM files f WHERE f.deployment_id = d.id) LIMIT 1
"""
_GONE = "SELECT id FROM deployments WHERE status IN ('deleted', 'expired')"


@dataclass(frozen=True, slots=True)
class OldBuild:
    """`logs` is the log's path, relative to DATA_DIR; empty: it has none."""

    id: str
    logs: str
    deployment_id: str


def old_builds(project_id: int, before: int) -> list[OldBuild]:
    """Builds that ended before `before` (ms) and led to nothing that is live; some of them."""
    return [OldBuild(*row) for row in sql.rows(_OLD_BUILDS, project_id, before, *ACTIVE)]


def count_old_builds(project_id: int, before: int) -> int:
    found = sql.first(_COUNT, project_id, before, *ACTIVE)
    return int(found[0]) if found is not None else 0


def forget_builds(builds: list[OldBuild]) -> list[str]:
    """Drop builds, and those of their deployments that are not live and have no other build;
    answers the ids of those deployments."""
    for build in builds:
        sql.execute("DELETE FROM builds WHERE id = ?", build.id)
    affected = sorted({build.deployment_id for build in builds})
    return [id_ for id_ in affected if sql.execute(_DROP_DEPLOYMENT, id_).rowcount]


def known_builds(build_ids: Iterable[str]) -> set[str]:
    """Those of which there is a row."""
    ids = list(build_ids)
    found: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        asked = ", ".join("?" * len(some))
        found.update(i for (i,) in sql.rows(f"SELECT id FROM builds WHERE id IN ({asked})", *some))
    return found


def forget_files(project_id: int) -> bool:
    """Drop the list of files of one deployment that is gone; `False`: there is none left."""
    found = sql.first(_WITH_FILES, project_id)
    if found is not None:
        sql.execute("DELETE FROM files WHERE deployment_id = ?", found[0])
    return found is not None


def gone(deployment_ids: Iterable[str]) -> list[str]:
    """Those of which the database says that they are deleted or expired."""
    known = {str(id_) for (id_,) in sql.rows(_GONE)}
    return [id_ for id_ in deployment_ids if id_ in known]
