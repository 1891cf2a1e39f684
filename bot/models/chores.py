"""What one worker of all does now and then: a lease on it, and what came of it last.

Each call is a transaction of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.models import sql
from bot.models.database import proxy
from bot.models.ids import now

LEASE = 120_000  # ms; whoever works renews it well before
_MAKE = """
INSERT INTO chores (name, holder, lease_until, completed_at, result) VALUES (?, '', 0, 0, '{}')
ON CONFLICT (name) DO NOTHING
"""
_TAKE = """
UPDATE chores SET holder = ?, lease_until = ?
WHERE name = ? AND lease_until < ? AND completed_at <= ?
"""
_RENEW = "UPDATE chores SET lease_until = ? WHERE name = ? AND holder = ?"
_COMPLETE = """
UPDATE chores SET holder = '', lease_until = 0, completed_at = ?, result = ?
WHERE name = ? AND holder = ?
"""


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of a chore when it was done last; `at` in ms."""

    at: int
    result: Mapping[str, Any]


def take(name: str, holder: str, every: int = 0) -> bool:
    """Have a chore to oneself; `False`: somebody is at it, or was less than `every` ms ago."""
    time = now()
    with proxy.obj.write():
        sql.execute(_MAKE, name)
        taken = sql.execute(_TAKE, holder, time + LEASE, name, time, time - every).rowcount
    return bool(taken)


def renew(name: str, holder: str) -> None:
    with proxy.obj.write(durable=False):
        sql.execute(_RENEW, now() + LEASE, name, holder)


def complete(name: str, holder: str, result: Mapping[str, Any]) -> None:
    """Give the chore back, with what came of it."""
    with proxy.obj.write():
        sql.execute(_COMPLETE, now(), json.dumps(result), name, holder)


def last(name: str) -> Completed | None:
    """`None`: it was never done to its end."""
    found = sql.first("SELECT completed_at, result FROM chores WHERE name = ?", name)
    return Completed(found[0], json.loads(found[1])) if found is not None and found[0] else None
