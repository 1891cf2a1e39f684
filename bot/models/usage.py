"""What projects use: deployments, builds, storage, traffic."""

from __future__ import annotations

from dataclasses import dataclass

from bot.models import sql


@dataclass(frozen=True, slots=True)
class Usage:
    """One project's use since some moment; storage is what it holds now.

    `stored_bytes` counts a content once, however many deployments share it.
    """

    project_id: int
    project: str
    deployments: int
    builds: int
    build_seconds: float
    stored_bytes: int
    requests: int
    served_bytes: int


_BUILDS = """
SELECT p.id, p.name, COUNT(DISTINCT d.id), COUNT(b.id),
    COALESCE(SUM(b.completed_at - b.started_at), 0) / 1000.0
FROM projects p
LEFT JOIN deployments d ON d.project_id = p.id AND d.created_at >= ?
LEFT JOIN builds b ON b.deployment_id = d.id
WHERE p.id = ? OR ? = 0
GROUP BY p.id, p.name ORDER BY p.name
"""
_STORED = """
SELECT SUM(size) FROM (
    SELECT DISTINCT f.digest, f.size FROM files f
    JOIN deployments d ON d.id = f.deployment_id
    WHERE (d.project_id = ? OR ? = 0) AND d.status NOT IN ('deleted', 'expired')) AS contents
"""
_SERVED = """
SELECT SUM(t.requests), SUM(t.size) FROM traffic t
JOIN deployments d ON d.id = t.deployment_id
WHERE d.project_id = ? AND t.hour >= ?
"""


def published_deployments() -> set[str]:
    """Ids of the deployments that visitors may ask for."""
    return {str(row[0]) for row in sql.rows("SELECT id FROM deployments WHERE status = 'ready'")}


def stored_bytes(project_id: int = 0) -> int:
    """The contents of a project's deployments, or of all (0), each counted once.

    Reads every file's row.
    """
    found = sql.first(_STORED, project_id, project_id)
    return int(found[0] or 0) if found else 0


def of_projects(since: int, project_id: int = 0) -> list[Usage]:
    """By project, since `since` (ms); `project_id` 0: of all projects."""
    found = []
    for row in sql.rows(_BUILDS, since, project_id, project_id):
        served = sql.first(_SERVED, row[0], since) or (0, 0)
        found.append(
            Usage(
                project_id=row[0],
                project=row[1],
                deployments=row[2],
                builds=row[3],
                build_seconds=round(float(row[4]), 3),
                stored_bytes=stored_bytes(row[0]),
                requests=int(served[0] or 0),
                served_bytes=int(served[1] or 0),
            )
        )
    return found
