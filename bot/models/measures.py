"""What the database knows of the bot's load, for `/metrics` and `/readyz`.

Every statement reads an index or a small table: they are asked every few seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bot.models import sql
from bot.models.queue import Priority

_QUEUED = """
SELECT priority, COUNT(*), MIN(created_at) FROM builds WHERE status = 'queued' GROUP BY priority
"""
_RUNNING = """
SELECT COUNT(*) FROM builds WHERE status IN ('cloning', 'building', 'publishing')
"""
_OUTBOX = """
SELECT state, COUNT(*), MIN(created_at) FROM outbox
WHERE state IN ('waiting', 'sending') GROUP BY state
"""
_PROJECTS = "SELECT state, COUNT(*) FROM projects GROUP BY state"
_WAITED = """
SELECT started_at - created_at FROM builds
WHERE started_at IS NOT NULL AND created_at >= ? AND attempts <= 1
ORDER BY created_at DESC LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """The waiting builds of one priority: production, preview, or rerun (built again).

    `oldest` is when the first was asked for (ms).
    """

    priority: str
    waiting: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Outbox:
    """What the code host must still be told; `oldest` is 0 where there is nothing (ms)."""

    waiting: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Waited:
    """Percentiles of how long builds waited, in seconds."""

    builds: int
    p50: float
    p95: float


def queues() -> list[Queue]:
    return [
        Queue(Priority(priority).name.lower(), int(count), int(oldest))
        for priority, count, oldest in sql.rows(_QUEUED)
    ]


def running_builds() -> int:
    found = sql.first(_RUNNING)
    return int(found[0]) if found else 0


def outbox() -> Outbox:
    found = sql.rows(_OUTBOX)
    return Outbox(
        sum(int(count) for _, count, _ in found), min((int(at) for *_, at in found), default=0)
    )


def projects_by_state() -> dict[str, int]:
    return {str(state): int(count) for state, count in sql.rows(_PROJECTS)}


def queue_times(since: int) -> list[int]:
    """How long the newest builds since `since` waited, in ms, shortest first; 1,000 at most."""
    return sorted(int(waited) for (waited,) in sql.rows(_WAITED, since))


def percentile(ordered: list[int], share: float) -> float:
    """The nearest-rank percentile of ordered values; 0 where there are none."""
    if not ordered:
        return 0.0
    rank = max(0, math.ceil(share * len(ordered)) - 1)
    return float(ordered[rank])


def waited(since: int) -> Waited:
    """How long builds of since then waited to be taken up; the newest 1,000 count."""
    times = queue_times(since)
    return Waited(len(times), percentile(times, 0.5) / 1000, percentile(times, 0.95) / 1000)


def answers() -> bool:
    """Whether the database does."""
    return sql.first("SELECT 1") is not None
