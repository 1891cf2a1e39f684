"""Which deployments are to go, which are kept, and why: in words, and by one set of rules.

It is not in charge of contents (`bot.storage.collect`), nor of how long things are kept:
that is a `Policy`, which callers give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.models import changes, sql
from bot.models.status import ACTIVE, AliasKind, DeploymentStatus

DAY = 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Policy:
    """`preview_days`: how long a preview outlives its branch or pull request.
    `production_kept`: how many of the newest production deployments are kept."""

    preview_days: int = 30
    production_kept: int = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live deployment. `ref` is a branch; `sha` is empty for an upload."""

    id: str
    sha: str
    ref: str
    production: bool
    created_at: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that counts of one project. Moments are in ms."""

    live: tuple[Candidate, ...]  # newest first
    building: frozenset[str]  # deployments with a build that is queued or running
    aliases: Mapping[str, tuple[tuple[str, str], ...]]  # deployment → (kind, name)
    branches: Mapping[str, tuple[str, int | None]]  # name → (sha, when it was deleted)
    # number → (head's sha, head's branch, when it was closed)
    pull_requests: Mapping[int, tuple[str, str, int | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons` to keep it, whatever room it takes. Without any it goes at `expires_at` (ms),
    or, if that is `None`, when room is needed."""

    reasons: tuple[str, ...]
    expires_at: int | None = None

    @property
    def kept(self) -> bool:
        return bool(self.reasons)

    def expired(self, time: int) -> bool:
        return not self.kept and self.expires_at is not None and self.expires_at <= time


def decide(facts: Facts, policy: Policy) -> dict[str, Verdict]:
    """A verdict on each live deployment of a project."""
    newest = [one.id for one in facts.live if one.production][: policy.production_kept]
    verdicts = {}
    for one in facts.live:
        reasons = [*_led_to(one, facts), *_heads(one, facts)]
        if one.id in facts.building:
            reasons.append("a build of it is queued or running")
        if one.id in newest:
            reasons.append(f"it is one of the newest {policy.production_kept} of production")
        verdicts[one.id] = Verdict(
            tuple(dict.fromkeys(reasons)), _expiry(one, facts, policy.preview_days * DAY)
        )
    return verdicts


def _led_to(one: Candidate, facts: Facts) -> list[str]:
    """The names that lead to it, but for those of what has ended."""
    reasons = []
    for kind, name in facts.aliases.get(one.id, ()):
        if kind == AliasKind.PRODUCTION:
            reasons.append("production leads to it")
        elif kind == AliasKind.BRANCH:
            if name not in facts.branches or facts.branches[name][1] is None:
                reasons.append(f"the branch {name} leads to it")
        elif kind == AliasKind.PULL_REQUEST:
            known = facts.pull_requests.get(int(name))
            if known is None or known[2] is None:
                reasons.append(f"the pull request {name} leads to it")
        else:
            reasons.append(f"{name} leads to it")
    return reasons


def _heads(one: Candidate, facts: Facts) -> list[str]:
    if not one.sha:
        return []
    heads = [
        f"it is the newest commit of the branch {name}"
        for name, (sha, deleted) in facts.branches.items()
        if sha == one.sha and deleted is None
    ]
    return heads + [
        f"it is the newest commit of the open pull request {number}"
        for number, (sha, _, closed) in facts.pull_requests.items()
        if sha == one.sha and closed is None
    ]


def _expiry(one: Candidate, facts: Facts, after: int) -> int | None:
    """When it goes: so long after the last branch or pull request of it has ended."""
    ends: list[int | None] = []
    if one.ref in facts.branches:
        ends.append(facts.branches[one.ref][1])
    ends += [
        closed
        for sha, branch, closed in facts.pull_requests.values()
        if (one.sha and sha == one.sha) or (one.ref and branch == one.ref)
    ]
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(ends):
        return None
    return max(known) + after


_LIVE = """
SELECT id, sha, ref, environment, created_at FROM deployments
WHERE project_id = ? AND status = ? ORDER BY created_at DESC, id DESC
"""
_BUILDING = f"""
SELECT DISTINCT b.deployment_id FROM builds b JOIN deployments d ON d.id = b.deployment_id
WHERE d.project_id = ? AND b.status IN ({", ".join("?" * len(ACTIVE))})
"""


def facts_of(project_id: int) -> Facts:
    aliases: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for deployment_id, kind, name in sql.rows(
        "SELECT deployment_id, kind, name FROM aliases WHERE project_id = ?", project_id
    ):
        aliases[deployment_id].append((kind, name))
    return Facts(
        live=tuple(
            Candidate(id_, sha or "", ref, environment == "production", created_at)
            for id_, sha, ref, environment, created_at in sql.rows(
                _LIVE, project_id, DeploymentStatus.READY
            )
        ),
        building=frozenset(row[0] for row in sql.rows(_BUILDING, project_id, *ACTIVE)),
        aliases={id_: tuple(names) for id_, names in aliases.items()},
        branches={
            name: (sha, moved_at if deleted else None)
            for name, sha, deleted, moved_at in sql.rows(
                "SELECT name, sha, deleted, moved_at FROM refs WHERE project_id = ?", project_id
            )
        },
        pull_requests={
            number: (sha, branch, None if is_open else moved_at)
            for number, sha, branch, is_open, moved_at in sql.rows(
                "SELECT number, head_sha, head_ref, open, moved_at FROM pull_requests "
                "WHERE project_id = ?",
                project_id,
            )
        },
    )


def expired(project_id: int, policy: Policy, time: int) -> list[str]:
    """Ids of the deployments whose time is up, oldest first."""
    facts = facts_of(project_id)
    verdicts = decide(facts, policy)
    return [one.id for one in reversed(facts.live) if verdicts[one.id].expired(time)]


def remove_expired(project_id: int, policy: Policy, time: int) -> list[str]:
    """Mark as deleted whose time is up; the caller holds a transaction, and deletes the rest.

    Decided and done under the project's lock: what a name was led to meanwhile stays.
    """
    sql.lock_project(project_id)
    gone = expired(project_id, policy, time)
    for deployment_id in gone:
        changes.delete_deployment(deployment_id)
    return gone


def why_kept(project_id: int, deployment_id: str, policy: Policy, time: int) -> list[str]:
    """Why a deployment is still there, in words; empty: it is not live, or its time is up."""
    verdict = decide(facts_of(project_id), policy).get(deployment_id)
    if verdict is None or verdict.expired(time):
        return []
    if verdict.kept:
        return list(verdict.reasons)
    if verdict.expires_at is not None:
        days = -(-(verdict.expires_at - time) // DAY)
        return [f"its branch or pull request has ended; it goes in {days} days"]
    return ["nothing says that it should go"]
