"""What a preview's toolbar says of it: nothing that whoever sees the page may not know."""

from __future__ import annotations

from dataclasses import dataclass

from bot.models import sql

_FACTS = """
SELECT d.id, COALESCE(d.sha, ''), d.ref, d.status, p.id, p.name, COALESCE((
    SELECT b.id FROM builds b WHERE b.deployment_id = d.id
    ORDER BY b.created_at DESC, b.id DESC LIMIT 1), '')
FROM deployments d JOIN projects p ON p.id = d.project_id WHERE d.id = ?
"""
# Of a repository with several projects, the pull requests are the main one's.
_PULL_REQUEST = """
SELECT q.number FROM pull_requests q JOIN projects p ON p.id = q.project_id
WHERE p.name = ? AND (q.head_sha = ? OR (q.head_ref = ? AND NOT q.fork)) AND q.open
ORDER BY q.head_sha = ? DESC, q.number LIMIT 1
"""
_NEWER = """
SELECT a.address FROM aliases a JOIN deployments n ON n.id = a.deployment_id
JOIN deployments d ON d.id = ? AND d.project_id = a.project_id
WHERE a.kind = 'branch' AND a.name = d.ref AND n.id <> d.id AND n.created_at > d.created_at
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """`sha` and `ref` are empty for an upload. `pull_request`: the open one that it is of.

    `newer`: the address of its branch, where that leads to something newer by now.
    """

    deployment_id: str
    sha: str
    ref: str
    status: str
    project_id: int
    project: str
    build_id: str
    pull_request: int | None
    newer: str

    @property
    def repository(self) -> str:
        return self.project.partition("#")[0]

    @property
    def key(self) -> str:
        """What its own address has; the commit is the main project's."""
        own = self.sha and self.project == self.repository
        return self.sha if own else self.deployment_id


def facts(deployment_id: str) -> Facts | None:
    row = sql.first(_FACTS, deployment_id)
    if row is None:
        return None
    sha, ref, repository = row[1], row[2], row[5].partition("#")[0]
    number = sql.first(_PULL_REQUEST, repository, sha, ref, sha) if sha else None
    newer = sql.first(_NEWER, deployment_id)
    values = [*row, number[0] if number else None, newer[0] if newer else ""]
    return Facts(*values)
