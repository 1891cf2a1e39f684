"""What was given up by our fault, and waits for somebody to look at it. Reads alone.

Builds that ended `errored`, deliveries that could not be carried out, and what the code
host would not be told. What something newer has made pointless is not among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.models import sql

MESSAGE = "msg-"
_MOST_COUNTED = 1000


class Kind(StrEnum):
    BUILD = "build"
    DELIVERY = "delivery"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`id` names it in every place; `what` and `problem` are for people; `at` is in ms."""

    kind: Kind
    id: str
    project: str
    what: str
    problem: str
    attempts: int
    at: int


_BUILDS = """
SELECT b.id, p.name, COALESCE(d.sha, d.id), b.error_message, b.attempts, b.completed_at
FROM builds b JOIN deployments d ON d.id = b.deployment_id JOIN projects p ON p.id = d.project_id
WHERE b.status = 'errored' AND d.status = 'failed' AND NOT EXISTS (
    SELECT 1 FROM builds n WHERE n.deployment_id = b.deployment_id AND n.created_at > b.created_at)
ORDER BY b.created_at DESC LIMIT ?
"""
_DELIVERIES = """
SELECT guid, event, reason, attempts, received_at FROM deliveries
WHERE outcome = 'failed' ORDER BY received_at DESC LIMIT ?
"""
_MESSAGES = """
SELECT o.id, p.name, o.kind, o.key, o.last_error, o.attempts, o.completed_at
FROM outbox o JOIN projects p ON p.id = o.project_id
WHERE o.state = 'dead' AND NOT EXISTS (
    SELECT 1 FROM outbox n WHERE n.key = o.key AND n.id > o.id)
ORDER BY o.due_at DESC LIMIT ?
"""


def counts() -> dict[Kind, int]:
    """How many there are of each kind; 1,000 stand for that and more."""
    found = {}
    for kind, statement in (
        (Kind.BUILD, _BUILDS),
        (Kind.DELIVERY, _DELIVERIES),
        (Kind.MESSAGE, _MESSAGES),
    ):
        counted = sql.first(f"SELECT COUNT(*) FROM ({statement}) AS letters", _MOST_COUNTED)
        found[kind] = int(counted[0]) if counted is not None else 0
    return found


def kind_of(letter_id: str) -> Kind:
    if letter_id.startswith("bld-"):
        return Kind.BUILD
    return Kind.MESSAGE if letter_id.startswith(MESSAGE) else Kind.DELIVERY


def listed(limit: int, kind: Kind | None = None) -> list[DeadLetter]:
    """The newest first; at most `limit` of each kind."""
    found: list[DeadLetter] = []
    if kind in {None, Kind.BUILD}:
        for build_id, project, key, problem, attempts, at in sql.rows(_BUILDS, limit):
            what = f"build of {key[:12]}"
            found.append(DeadLetter(Kind.BUILD, build_id, project, what, problem, attempts, at))
    if kind in {None, Kind.DELIVERY}:
        for guid, event, problem, attempts, at in sql.rows(_DELIVERIES, limit):
            found.append(DeadLetter(Kind.DELIVERY, guid, "", event, problem, attempts, at))
    if kind in {None, Kind.MESSAGE}:
        for row_id, project, what, key, problem, attempts, at in sql.rows(_MESSAGES, limit):
            told = f"{what} ({key})"
            letter_id = f"{MESSAGE}{row_id}"
            found.append(
                DeadLetter(Kind.MESSAGE, letter_id, project, told, problem, attempts, at or 0)
            )
    return sorted(found, key=lambda letter: letter.at, reverse=True)
