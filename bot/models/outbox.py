"""What the code host must still be told, in order within each key.

Only the oldest unsent entry of a key may be sent, so a `success` can never be
overtaken by its `pending`. Once sending has failed, an entry that a newer one of
its key replaces is dropped instead of retried. Callers hold a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from peewee import fn

from bot.models import sql
from bot.models.ids import now
from bot.models.status import OutboxState
from bot.models.tables import OutboxEntry

_ADD = """
INSERT INTO "outbox" ("project_id", "kind", "key", "payload", "state", "attempts", "due_at",
    "lease_until", "last_error", "created_at")
VALUES (?, ?, ?, ?, 'waiting', 0, ?, 0, '', ?)
"""
LEASE = 60_000  # ms
PENDING = (OutboxState.WAITING, OutboxState.SENDING)


def add(project_id: int, kind: str, key: str, payload: Mapping[str, object]) -> None:
    """Record one thing to tell. `key` names what it is about, e.g. a commit's status."""
    time = now()
    sql.execute(_ADD, project_id, kind, key, json.dumps(payload), time, time)


def claim_due(time: int) -> OutboxEntry | None:
    """Take the entry that has been due longest, among the first of each key."""
    free = (OutboxEntry.state == OutboxState.WAITING) | (
        (OutboxEntry.state == OutboxState.SENDING) & (OutboxEntry.lease_until < time)
    )
    first_of_key = (
        OutboxEntry.select(fn.MIN(OutboxEntry.id))
        .where(OutboxEntry.state.in_(PENDING))
        .group_by(OutboxEntry.key)
    )
    entry: OutboxEntry | None = (
        OutboxEntry.select()
        .where(free, OutboxEntry.due_at <= time, OutboxEntry.id.in_(first_of_key))
        .order_by(OutboxEntry.due_at, OutboxEntry.id)
        .first()
    )
    if entry is None:
        return None
    claimed: int = (
        OutboxEntry.update(
            state=OutboxState.SENDING, lease_until=time + LEASE, attempts=OutboxEntry.attempts + 1
        )
        .where(OutboxEntry.id == entry.id, free)
        .execute()
    )
    return OutboxEntry.get_by_id(entry.id) if claimed else None


def next_due() -> int | None:
    """When the next entry that nobody holds is due, in ms; `None`: nothing waits."""
    found: int | None = (
        OutboxEntry.select(fn.MIN(OutboxEntry.due_at))
        .where(OutboxEntry.state == OutboxState.WAITING)
        .scalar()
    )
    return found


def replaced(entry: OutboxEntry) -> bool:
    """Whether a newer entry of the same key makes this one pointless."""
    newer = OutboxEntry.select().where(
        OutboxEntry.key == entry.key, OutboxEntry.id > entry.id, OutboxEntry.kind == entry.kind
    )
    return bool(newer.exists())


def end(entry: OutboxEntry, state: OutboxState, error: str = "") -> None:
    OutboxEntry.update(state=state, completed_at=now(), last_error=error).where(
        OutboxEntry.id == entry.id
    ).execute()


def postpone(entry: OutboxEntry, due_at: int, error: str) -> None:
    OutboxEntry.update(state=OutboxState.WAITING, due_at=due_at, last_error=error).where(
        OutboxEntry.id == entry.id
    ).execute()
