"""What was served, by deployment and hour.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from bot.models import sql

HOUR = 3_600_000  # ms
# A deployment whose row is gone is counted no more: its figures went with it.
_ADD = """
INSERT INTO traffic (deployment_id, hour, status, requests, size)
SELECT id, ?, ?, ?, ? FROM deployments WHERE id = ?
ON CONFLICT (deployment_id, hour, status) DO UPDATE SET
    requests = traffic.requests + excluded.requests, size = traffic.size + excluded.size
"""
_TOTALS = """
SELECT status, SUM(requests), SUM(size) FROM traffic
WHERE deployment_id = ? AND hour >= ? GROUP BY status ORDER BY status
"""


def add(deployment_id: str, time: int, status: int, requests: int, size: int) -> None:
    """Count requests of a status class (2 for 200 to 299) and their bodies' bytes."""
    sql.execute(_ADD, time - time % HOUR, status, requests, size, deployment_id)


def totals(deployment_id: str, since: int = 0) -> dict[int, tuple[int, int]]:
    """Status class → (requests, bytes), of the hours that began at or after `since` (ms)."""
    rows = sql.rows(_TOTALS, deployment_id, since)
    return {status: (int(requests), int(size)) for status, requests, size in rows}


def forget(before: int) -> None:
    """Drop the hours that began before `before` (ms)."""
    sql.execute("DELETE FROM traffic WHERE hour < ?", before)
