"""Who is next: the one place where it is decided which waiting build is taken up.

Production goes before previews, and these before what is built again. Among builds of one
priority projects take turns, whatever number each has waiting, and no project has more
running than its limit allows. The answer costs a look at an index for each project whose
turn it is and that may not have it, so as much with ten thousand waiting builds as with ten.

Not in charge of what is told of it (`bot.models.foresight`), nor of waking anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bot.models import sql


class Priority(IntEnum):
    """The lower, the earlier."""

    PRODUCTION = 0
    PREVIEW = 1
    RERUN = 2  # somebody had it built again


@dataclass(frozen=True, slots=True)
class Candidate:
    """A build that may be taken up now. `limit`: what its project may have running; 0: any."""

    build_id: str
    project_id: int
    priority: Priority
    limit: int


_RUNNING = "('cloning', 'building', 'publishing')"
# The first build of the next project that has any, by `builds_waiting`.
_HEAD = f"""
SELECT b.id, b.project_id, b.due_at,
    (SELECT p.concurrency FROM projects p WHERE p.id = b.project_id),
    (SELECT COUNT(*) FROM builds r WHERE r.project_id = b.project_id AND r.status IN {_RUNNING})
FROM builds b
WHERE b.status = 'queued' AND b.priority = ? AND b.project_id > ? AND b.project_id <= ?
ORDER BY b.project_id, b.due_at, b.id LIMIT 1
"""
_LAST = (1 << 31) - 1
_TURNS = "SELECT priority, project_id FROM turns"
_TAKE_TURN = """
INSERT INTO turns (priority, project_id) VALUES (?, ?)
ON CONFLICT (priority) DO UPDATE SET project_id = excluded.project_id
"""
_WAITING = "SELECT id FROM builds WHERE status = 'queued' ORDER BY created_at, id LIMIT ?"
_WAITING_OF = """
SELECT id FROM builds WHERE status = 'queued' AND project_id = ? ORDER BY priority, due_at LIMIT ?
"""


def next_build(limit: int, time: int) -> Candidate | None:
    """The build whose turn it is at `time` (ms). Somebody else may claim it first.

    `limit` is what a project without a limit of its own may have running; 0: any number.
    """
    had = turns()
    for priority in Priority:
        last = had.get(priority, 0)
        for after, until in ((last, _LAST), (0, last)):
            found = _first(priority, after, until, limit, time)
            if found is not None:
                return found
    return None


def _first(priority: Priority, after: int, until: int, limit: int, time: int) -> Candidate | None:
    """Of the projects after one and up to another, the first whose turn it can be."""
    while after < until:
        head = sql.first(_HEAD, int(priority), after, until)
        if head is None:
            return None
        build_id, project_id, due_at, own_limit, running = head
        allowed = limit if own_limit is None else int(own_limit)
        if due_at <= time and (not allowed or running < allowed):
            return Candidate(build_id, project_id, priority, allowed)
        after = project_id
    return None


def turns() -> dict[int, int]:
    """By priority, the project that had its turn last."""
    return {int(priority): int(project_id) for priority, project_id in sql.rows(_TURNS)}


def had_turn(candidate: Candidate) -> None:
    """The project's turn is over; the caller holds a transaction, and ends it soon."""
    sql.execute(_TAKE_TURN, int(candidate.priority), candidate.project_id)


def waiting(limit: int) -> list[str]:
    """Ids of some queued builds, the oldest first."""
    return [row[0] for row in sql.rows(_WAITING, limit)]


def waiting_of(project_id: int, limit: int) -> list[str]:
    """Ids of some queued builds of one project."""
    return [row[0] for row in sql.rows(_WAITING_OF, project_id, limit)]
