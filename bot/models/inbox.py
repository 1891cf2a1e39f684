"""The inbox: every delivery is kept once. Callers hold a transaction."""

from __future__ import annotations

from bot.models import sql
from bot.models.ids import now
from bot.models.tables import Delivery

# One that failed by our fault is taken in when it is delivered again.
_REMEMBER = """
INSERT INTO deliveries (guid, event, digest, outcome, reason, data, received_at)
VALUES (?, ?, ?, 'accepted', '', ?, ?)
ON CONFLICT (guid) DO UPDATE SET outcome = 'accepted', reason = ''
    WHERE deliveries.outcome = 'failed'
"""
_CONCLUDE = "UPDATE deliveries SET outcome = ?, reason = ? WHERE guid = ?"
_FAIL = """
INSERT INTO deliveries (guid, event, digest, outcome, reason, data, received_at, attempts)
VALUES (?, ?, ?, 'failed', ?, ?, ?, 1)
ON CONFLICT (guid) DO UPDATE SET
    outcome = 'failed', reason = excluded.reason, attempts = deliveries.attempts + 1
"""
_FAILED = """
SELECT guid, attempts, received_at FROM deliveries
WHERE outcome = 'failed' AND attempts < ? ORDER BY received_at LIMIT 100
"""
# How often a delivery that failed is carried out, all in all, before somebody is needed.
LARGEST_ATTEMPTS = 4
_FIRST_DELAY = 60_000  # ms after it came; four times as long for each further attempt


def remember(guid: str, event: str, digest: str, data: str) -> bool:
    """Record a delivery as accepted; `False`: one with this GUID is known already.

    `digest` is the body's SHA-256 in hex, `data` the parsed event as JSON.
    """
    return bool(sql.execute(_REMEMBER, guid, event, digest, data, now()).rowcount)


def conclude(guid: str, outcome: str, reason: str) -> None:
    """What became of a delivery: `accepted` or `ignored`, and why."""
    sql.execute(_CONCLUDE, outcome, reason, guid)


def fail(guid: str, event: str, digest: str, data: str, reason: str) -> None:
    """Keep a delivery that could not be carried out, by a defect of ours."""
    sql.execute(_FAIL, guid, event, digest, reason, data, now())


def due_again(time: int) -> list[str]:
    """The GUIDs of failed deliveries that are to be carried out again at `time` (ms)."""
    return [
        str(guid)
        for guid, attempts, received_at in sql.rows(_FAILED, LARGEST_ATTEMPTS)
        if received_at + _FIRST_DELAY * 4 ** (attempts - 1) <= time
    ]


def find(guid: str) -> Delivery | None:
    found: Delivery | None = Delivery.get_or_none(Delivery.guid == guid)
    return found


def forget_older(before: int) -> int:
    """Delete deliveries received before a moment (ms); answers how many there were.

    Only for times long past: a delivery that is forgotten would be taken in again.
    """
    deleted: int = Delivery.delete().where(Delivery.received_at < before).execute()
    return deleted
