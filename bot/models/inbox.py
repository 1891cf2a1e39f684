"""The inbox: every delivery is kept once. Callers hold a transaction."""

from __future__ import annotations

from bot.models.ids import now
from bot.models.tables import Delivery

_RECEIVE = """
INSERT INTO "deliveries" ("guid", "event", "digest", "outcome", "reason", "data", "received_at")
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT ("guid") DO NOTHING
"""


def remember(guid: str, event: str, digest: str, data: str) -> bool:
    """Record a delivery; `False`: one with this GUID is known already.

    `digest` is the body's SHA-256 in hex, `data` the parsed event as JSON.
    """
    values = (guid, event, digest, "accepted", "", data, now())
    cursor = Delivery._meta.database.execute_sql(_RECEIVE, values)
    return bool(cursor.rowcount)


def conclude(guid: str, outcome: str, reason: str) -> None:
    """What became of a delivery: `accepted` or `ignored`, and why."""
    Delivery.update(outcome=outcome, reason=reason).where(Delivery.guid == guid).execute()


def find(guid: str) -> Delivery | None:
    found: Delivery | None = Delivery.get_or_none(Delivery.guid == guid)
    return found
