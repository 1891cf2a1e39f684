"""What deployments were made of, so that the same need not be built twice.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.models import sql

_REMEMBER = "UPDATE deployments SET fingerprint = ?, tools = ? WHERE id = ?"
_FIND = """
SELECT id, sha, tools FROM deployments
WHERE project_id = ? AND fingerprint = ? AND status = 'ready' AND sha IS NOT NULL
ORDER BY created_at DESC LIMIT 1
"""
_OF_BRANCH = """
SELECT d.sha FROM aliases a JOIN deployments d ON d.id = a.deployment_id
WHERE a.project_id = ? AND a.kind = ? AND a.name = ?
"""


@dataclass(frozen=True, slots=True)
class Output:
    """A live deployment of a commit, and the tools that it was built with."""

    deployment_id: str
    sha: str
    tools: str


def remember(deployment_id: str, fingerprint: str, tools: str) -> None:
    """Let a deployment serve for others of the same fingerprint; empty: for none."""
    sql.execute(_REMEMBER, fingerprint, tools, deployment_id)


def of_fingerprint(project_id: int, fingerprint: str) -> Output | None:
    found = sql.first(_FIND, project_id, fingerprint)
    return Output(*found) if found is not None else None


def commit_shown(project_id: int, kind: str, name: str) -> str:
    """The commit that an alias leads to, such as a branch's; empty: to none."""
    found = sql.first(_OF_BRANCH, project_id, kind, name)
    return str(found[0] or "") if found is not None else ""
