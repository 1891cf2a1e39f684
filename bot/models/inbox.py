"""The inbox: every delivery is kept once. Callers hold a transaction."""

from __future__ import annotations

from bot.models import sql
from bot.models.ids import now
from bot.models.tables import Delivery

_REMEMBER = """
INSERT INTO deliveries (guid, event, digest, outcome, reason, data, received_at)
VALUES (?, ?, ?, 'accepted', '', ?, ?) ON CONFLICT (guid) DO NOTHING
"""
_CONCLUDE = "UPDATE deliveries SET outcome = ?, reason = ? WHERE guid = ?"


def remember(guid: str, event: str, digest: str, data: str) -> bool:
    """Record a delivery as accepted; `False`: one with this GUID is known already.

    `digest` is the body's SHA-256 in hex, `data` the parsed event as JSON.
    """
    return bool(sql.execute(_REMEMBER, guid, event, digest, data, now()).rowcount)


def conclude(guid: str, outcome: str, reason: str) -> None:
    """What became of a delivery: `accepted` or `ignored`, and why."""
    sql.execute(_CONCLUDE, outcome, reason, guid)


def find(guid: str) -> Delivery | None:
    found: Delivery | None = Delivery.get_or_none(Delivery.guid == guid)
    return found


def forget_older(before: int) -> int:
    """Delete deliveries received before a moment (ms); answers how many there were.

    Only for times long past: a delivery that is forgotten would be taken in again.
    """
    deleted: int = Delivery.delete().where(Delivery.received_at < before).execute()
    return deleted
