"""What the code host must still be told, in order within each key.

Only the oldest unsent entry of a key may be sent, so a `success` can never be
overtaken by its `pending`. An entry is held by whoever claimed it for as long as
its lease lasts: `renew` says whether that is still so. Callers hold a transaction
around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bot.models import sql
from bot.models.ids import now
from bot.models.status import OutboxState
from bot.models.tables import OutboxEntry

# Longer than anything that is said to the code host in one go.
LEASE = 60_000  # ms

_ADD = """
INSERT INTO outbox
    (project_id, kind, key, payload, state, attempts, due_at, lease_until, last_error, created_at)
VALUES (?, ?, ?, ?, 'waiting', 0, ?, 0, '', ?)
"""
_REPLACE = """
UPDATE outbox SET payload = ?, due_at = ?, created_at = ?
WHERE id = (SELECT MAX(id) FROM outbox WHERE key = ?) AND state = 'waiting'
"""
_FIRST_OF_KEY = """
NOT EXISTS (
    SELECT 1 FROM outbox e
    WHERE e.key = o.key AND e.id < o.id AND e.state IN ('waiting', 'sending'))
"""
# Approvals first, for somebody waits for them, then statuses, which a merge may wait for.
_CLAIMABLE = f"""
SELECT o.id FROM outbox o
WHERE o.state IN ('waiting', 'sending') AND o.due_at <= ?
    AND (o.state = 'waiting' OR o.lease_until < ?) AND {_FIRST_OF_KEY}
ORDER BY CASE o.kind WHEN 'approval' THEN 0 WHEN 'status' THEN 1 WHEN 'comment' THEN 2 ELSE 3 END,
    o.due_at, o.id
LIMIT 1
"""
_CLAIM = """
UPDATE outbox SET state = 'sending', attempts = attempts + 1, due_at = ?, lease_until = ?
WHERE id = ? AND (state = 'waiting' OR (state = 'sending' AND lease_until < ?))
"""
_NEXT_DUE = f"SELECT MIN(o.due_at) FROM outbox o WHERE o.state = 'waiting' AND {_FIRST_OF_KEY}"
_HELD = "WHERE id = ? AND state = 'sending' AND attempts = ?"
_RENEW = f"UPDATE outbox SET lease_until = ? {_HELD}"
_END = f"UPDATE outbox SET state = ?, completed_at = ?, last_error = ? {_HELD}"
_POSTPONE = f"UPDATE outbox SET state = 'waiting', due_at = ?, last_error = ? {_HELD}"
_DEFER = f"UPDATE outbox SET state = 'waiting', due_at = ?, attempts = attempts - 1 {_HELD}"
_REVIVE = """
UPDATE outbox SET state = 'waiting', attempts = 0, due_at = ?, created_at = ?, completed_at = NULL
WHERE id = ? AND state = 'dead'
    AND NOT EXISTS (SELECT 1 FROM outbox n WHERE n.key = outbox.key AND n.id > outbox.id)
"""
_NEXT = "SELECT payload FROM outbox WHERE key = ? AND id > ? ORDER BY id LIMIT 1"
_TRIED = "SELECT 1 FROM outbox WHERE key = ? AND id < ? AND attempts > 0 LIMIT 1"
_WRITTEN = """
SELECT o.kind, o.due_at FROM outbox o JOIN projects p ON p.id = o.project_id
WHERE o.state IN ('sent', 'sending') AND o.due_at > ? AND o.id <> ?
    AND substr(p.name, 1, ?) = ?
ORDER BY o.due_at
"""


def add(
    project_id: int,
    kind: str,
    key: str,
    payload: Mapping[str, object],
    *,
    delay: int = 0,
    replace: bool = False,
) -> None:
    """Record one thing to tell, in `delay` ms at the earliest.

    `key` names what it is about, e.g. a commit's status. With `replace` it takes the
    place of what is still unsent of the same key: only the present is worth telling.
    """
    # Rows of one project get their ids in the order in which they become visible.
    sql.lock_project(project_id)
    time = now()
    text = msgspec.json.encode(payload).decode()
    if replace and sql.execute(_REPLACE, text, time + delay, time, key).rowcount:
        return
    sql.execute(_ADD, project_id, kind, key, text, time + delay, time)


def claim_due(time: int) -> OutboxEntry | None:
    """Take an entry that is due at `time` (ms), of those that are the first of their key."""
    found = sql.first(_CLAIMABLE, time, time)
    if found is None:
        return None
    if not sql.execute(_CLAIM, time, time + LEASE, found[0], time).rowcount:
        return None
    entry: OutboxEntry = OutboxEntry.get_by_id(found[0])
    return entry


def next_due() -> int | None:
    """When the next entry that may be sent is due, in ms; `None`: nothing waits."""
    found = sql.first(_NEXT_DUE)
    return int(found[0]) if found is not None and found[0] is not None else None


def following(entry: OutboxEntry) -> str | None:
    """The payload of the next later entry of the same key, if there is one."""
    found = sql.first(_NEXT, entry.key, entry.id)
    return str(found[0]) if found is not None else None


def tried_before(entry: OutboxEntry) -> bool:
    """Whether the code host may know of this already, though nothing came back from it."""
    return entry.attempts > 1 or sql.first(_TRIED, entry.key, entry.id) is not None


def written_since(time: int, prefix: str, entry: OutboxEntry) -> list[tuple[str, int]]:
    """(kind, time in ms) of what was sent after `time`, the oldest first, without `entry`.

    Counts the projects whose names begin with `prefix`.
    """
    return sql.rows(_WRITTEN, time, entry.id, len(prefix), prefix)


def renew(entry: OutboxEntry, time: int) -> bool:
    """Keep the entry; `False`: it was given to another, who tells it now."""
    return bool(sql.execute(_RENEW, time + LEASE, entry.id, entry.attempts).rowcount)


def end(entry: OutboxEntry, state: OutboxState, time: int, error: str = "") -> None:
    sql.execute(_END, state, time, error, entry.id, entry.attempts)


def postpone(entry: OutboxEntry, due_at: int, error: str) -> None:
    """Try again at `due_at` (ms)."""
    sql.execute(_POSTPONE, due_at, error, entry.id, entry.attempts)


def defer(entry: OutboxEntry, due_at: int) -> None:
    """Put an entry back untried, until `due_at` (ms)."""
    sql.execute(_DEFER, due_at, entry.id, entry.attempts)


def revive(entry_id: int) -> bool:
    """Try again what was given up; `False`: it was not, or something newer was told since."""
    time = now()
    return bool(sql.execute(_REVIVE, time, time, entry_id).rowcount)


def forget_ended(before: int) -> int:
    """Delete what ended before a moment (ms); answers how many entries there were."""
    ended = (OutboxState.SENT, OutboxState.DROPPED, OutboxState.DEAD)
    deleted: int = (
        OutboxEntry.delete()
        .where(OutboxEntry.state.in_(ended), OutboxEntry.due_at < before)
        .execute()
    )
    return deleted
