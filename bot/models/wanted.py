"""Commits that somebody visits and nobody has built, of projects that build on first visit.

Anybody may visit any address, so this is bounded: only so many commits are looked for in
a minute, and one that was not found is not looked for again for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.models import sql
from bot.models.database import proxy
from bot.models.ids import now

_PER_MINUTE = 20
_MINUTE = 60_000  # ms
_UNKNOWN_FOR = 10 * _MINUTE


class Wish(StrEnum):
    """What a visit to a commit that was never built comes to."""

    NEW = "new"  # it is to be looked for, from now on
    ASKED = "asked"  # it is being looked for
    UNKNOWN = "unknown"  # of no branch or tag of a project that builds on visits
    LIMITED = "limited"  # too many are asked for at the moment
    OFF = "off"  # no project builds on visits


@dataclass(frozen=True, slots=True)
class Offering:
    """A project that builds commits on their first visit."""

    id: int
    name: str


# The other projects of a repository are built with the main one.
_OFFERING = """
SELECT id, name FROM projects
WHERE build_on_visit AND state = 'active' AND main_id IS NULL ORDER BY id
"""
_ASK = """
INSERT INTO wanted_commits (sha, state, asked_at) VALUES (?, 'asked', ?)
ON CONFLICT (sha) DO UPDATE SET state = 'asked', asked_at = excluded.asked_at
"""


def offering() -> list[Offering]:
    return [Offering(*row) for row in sql.rows(_OFFERING)]


def is_offered(project: str) -> bool:
    """Whether the project of this name builds commits on visits."""
    return any(one.name == project for one in offering())


def want(sha: str) -> Wish:
    """Have a commit looked for, unless that has been done; writes by itself."""
    if not offering():
        return Wish.OFF
    time = now()
    known = sql.first("SELECT state, asked_at FROM wanted_commits WHERE sha = ?", sha)
    if known is not None and (known[0] == Wish.ASKED or known[1] > time - _UNKNOWN_FOR):
        return Wish(known[0])
    recent = sql.first("SELECT COUNT(*) FROM wanted_commits WHERE asked_at > ?", time - _MINUTE)
    if recent is not None and recent[0] >= _PER_MINUTE:
        return Wish.LIMITED
    with proxy.obj.write():
        sql.execute(_ASK, sha, time)
    return Wish.NEW


def asked(limit: int = _PER_MINUTE) -> list[str]:
    """The commits to be looked for, the longest waiting first."""
    found = sql.rows(
        "SELECT sha FROM wanted_commits WHERE state = 'asked' ORDER BY asked_at LIMIT ?", limit
    )
    return [row[0] for row in found]


def conclude(sha: str, found: bool) -> None:
    """Record what looking came to; the caller holds a transaction."""
    if found:
        sql.execute("DELETE FROM wanted_commits WHERE sha = ?", sha)
    else:
        sql.execute("UPDATE wanted_commits SET state = 'unknown' WHERE sha = ?", sha)


def forget(before: int) -> None:
    """Drop what was asked for before a moment (ms); the caller holds a transaction."""
    sql.execute("DELETE FROM wanted_commits WHERE asked_at < ?", before)
