"""Builds that a commit's message asks not to be made, though another event has asked for them.

Callers hold a transaction around everything here.
"""

from __future__ import annotations

from bot.models import sql
from bot.models.ids import now

# An opened pull request does not say what its commit's message is; the push does.
_ASKED_BY_PULL_REQUEST = """
SELECT d.id, b.id
FROM deployments d JOIN builds b ON b.deployment_id = d.id JOIN projects m ON m.id = d.project_id
WHERE d.sha = ? AND ? IN (m.id, m.main_id) AND d.source = 'pull_request' AND d.trusted
    AND b.status IN ('queued', 'cloning', 'building')
"""
_IGNORE = """
UPDATE builds SET status = 'ignored', completed_at = ?, error_message = ? WHERE id = ?
"""
_SKIP = "UPDATE deployments SET status = 'skipped', updated_at = ? WHERE id = ?"


def give_up(project_id: int, sha: str, reason: str) -> list[tuple[str, str]]:
    """End the unfinished builds that a pull request asked for; (deployment id, build id) of each.

    Callers have locked the project.
    """
    found = sql.rows(_ASKED_BY_PULL_REQUEST, sha, project_id)
    time = now()
    for deployment_id, build_id in found:
        sql.execute(_IGNORE, time, reason, build_id)
        sql.execute(_SKIP, time, deployment_id)
    return found
