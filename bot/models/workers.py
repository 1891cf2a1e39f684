"""The processes that run builds: who is there, and until when that may be believed.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.models import sql
from bot.models.ids import now

# A process renews it three times within this; one that is gone doesn't.
LEASE = 30_000  # ms

_RENEW = """
INSERT INTO workers (id, host, slots, started_at, lease_until) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
"""
_PRESENT = """
SELECT w.id, w.host, w.slots, w.started_at FROM workers w WHERE w.lease_until >= ? ORDER BY w.id
"""


@dataclass(frozen=True, slots=True)
class Present:
    """A process that is there, and how many builds it runs at a time."""

    id: str
    host: str
    slots: int
    started_at: int


def renew(worker: str, host: str, slots: int) -> None:
    """Say that a process is there."""
    time = now()
    sql.execute(_RENEW, worker, host, slots, time, time + LEASE)


def leave(worker: str) -> None:
    """A process is gone, by its own word or another's."""
    sql.execute("DELETE FROM workers WHERE id = ?", worker)


def present() -> list[Present]:
    """The processes whose lease holds."""
    return [Present(*row) for row in sql.rows(_PRESENT, now())]


def forget_gone(before: int) -> None:
    """Drop those whose lease ran out before a moment (ms)."""
    sql.execute("DELETE FROM workers WHERE lease_until < ?", before)
