"""Which deployments are to go, which are kept, and why: in words, and by one set of rules.

It is not in charge of contents (`bot.storage.collect`), nor of how long things are kept:
that is a `Policy`, which callers give (`bot.models.policies`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.models import changes, sql
from bot.models.status import ACTIVE, AliasKind, DeploymentStatus

DAY = 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Policy:
    """How long things are kept. Days of 0: for ever.

    `closed_days`: how long a preview outlives its branch or pull request; `idle_days`: what
    no name leads to, after its last visit. `production_kept`: how many of the newest
    production deployments stay whatever happens; older ones count as previews do.
    `failed_days`: builds without a live deployment, and their logs.
    """

    closed_days: int = 30
    idle_days: int = 0
    production_kept: int = 10
    failed_days: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live deployment. `ref` is a branch; `sha` is empty for an upload.

    `live_at` is when it went live last, `visited_at` the hour of its last visit (both in ms);
    0: nobody has been there. `trusted`: its branch is one of the repository's own.
    """

    id: str
    sha: str
    ref: str
    production: bool
    live_at: int
    visited_at: int = 0
    trusted: bool = True

    @property
    def used_at(self) -> int:
        return max(self.live_at, self.visited_at)


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
    `because` of something, or, if that is `None`, when room is needed."""

    reasons: tuple[str, ...]
    expires_at: int | None = None
    because: str = ""

    @property
    def kept(self) -> bool:
        return bool(self.reasons)

    def expired(self, time: int) -> bool:
        return not self.kept and self.expires_at is not None and self.expires_at <= time


def decide(facts: Facts, policy: Policy) -> dict[str, Verdict]:
    """A verdict on each live deployment of a project."""
    newest = {one.id for one in [o for o in facts.live if o.production][: policy.production_kept]}
    names = _Names(facts)
    verdicts = {}
    for one in facts.live:
        reasons = [*_led_to(one, facts), *names.headed_by(one)]
        if one.id in facts.building:
            reasons.append("a build of it is queued or running")
        if one.id in newest:
            reasons.append(f"it is one of the newest {policy.production_kept} of production")
        ends = _ended(one, names, policy), _unused(one, policy)
        first = min(filter(None, ends), default=(None, ""))
        verdicts[one.id] = Verdict(tuple(dict.fromkeys(reasons)), *first)
    return verdicts


class _Names:
    """Branches and pull requests by commit and by branch: a project may have thousands."""

    def __init__(self, facts: Facts) -> None:
        self._branches = facts.branches
        self._heads: dict[str, list[str]] = defaultdict(list)
        # Commit, or branch → number → when the pull request was closed.
        self._of_sha: dict[str, dict[int, int | None]] = defaultdict(dict)
        self._of_branch: dict[str, dict[int, int | None]] = defaultdict(dict)
        for name, (sha, deleted) in facts.branches.items():
            if deleted is None:
                self._heads[sha].append(f"it is the newest commit of the branch {name}")
        for number, (sha, branch, closed) in facts.pull_requests.items():
            self._of_sha[sha][number] = closed
            self._of_branch[branch][number] = closed
            if closed is None:
                reason = f"it is the newest commit of the open pull request {number}"
                self._heads[sha].append(reason)

    def headed_by(self, one: Candidate) -> list[str]:
        """Reasons of what has it as its newest commit."""
        return self._heads.get(one.sha, []) if one.sha else []

    def ends(self, one: Candidate) -> list[int | None]:
        """When each branch and pull request of it ended; `None`: it has not."""
        found = list(
            (
                (self._of_sha.get(one.sha, {}) if one.sha else {})
                | (self._of_branch.get(one.ref, {}) if one.ref else {})
            ).values()
        )
        if one.trusted and one.ref in self._branches:
            found.append(self._branches[one.ref][1])
        return found


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


def _ended(one: Candidate, names: _Names, policy: Policy) -> tuple[int, str] | None:
    """When it goes: so long after the last branch or pull request of it has ended."""
    ends = names.ends(one)
    known = [end for end in ends if end is not None]
    if not policy.closed_days or not known or len(known) < len(ends):
        return None
    return max(known) + policy.closed_days * DAY, "its branch or pull request has ended"


def _unused(one: Candidate, policy: Policy) -> tuple[int, str] | None:
    if not policy.idle_days:
        return None
    return one.used_at + policy.idle_days * DAY, "no name leads to it and nobody visits it"


_LIVE = """
SELECT d.id, COALESCE(d.sha, ''), d.ref, d.environment = 'production', d.updated_at, COALESCE((
    SELECT MAX(t.hour) FROM traffic t WHERE t.deployment_id = d.id AND t.status IN (2, 3)), 0),
    d.trusted
FROM deployments d
WHERE d.project_id = ? AND d.status = ?
"""
_NEWEST_FIRST = " ORDER BY d.created_at DESC, d.id DESC"
# What counts of one deployment: it, and the newest of production.
_ONE = f"""
{_LIVE} AND (d.id = ? OR d.id IN (
    SELECT n.id FROM deployments n
    WHERE n.project_id = ? AND n.status = ? AND n.environment = 'production'
    ORDER BY n.created_at DESC, n.id DESC LIMIT ?))
"""
_ITS_BRANCHES = """
AND (name = (SELECT ref FROM deployments WHERE id = ?)
    OR sha = (SELECT sha FROM deployments WHERE id = ?)
    OR name IN (SELECT name FROM aliases WHERE deployment_id = ? AND kind = 'branch'))
"""
_ITS_PULL_REQUESTS = """
AND (head_ref = (SELECT ref FROM deployments WHERE id = ?)
    OR head_sha = (SELECT sha FROM deployments WHERE id = ?)
    OR CAST(number AS TEXT) IN (
        SELECT name FROM aliases WHERE deployment_id = ? AND kind = 'pull request'))
"""
_BRANCHES = f"""
SELECT name, sha, deleted, moved_at FROM refs WHERE project_id = {sql.REPOSITORY}
"""
_PULL_REQUESTS = f"""
SELECT number, head_sha, head_ref, open, moved_at FROM pull_requests
WHERE project_id = {sql.REPOSITORY}
"""
_BUILDING = f"""
SELECT DISTINCT b.deployment_id FROM builds b JOIN deployments d ON d.id = b.deployment_id
WHERE d.project_id = ? AND b.status IN ({", ".join("?" * len(ACTIVE))})
"""


def facts_of(project_id: int) -> Facts:
    ready = DeploymentStatus.READY
    return _facts(
        project_id,
        sql.rows(_LIVE + _NEWEST_FIRST, project_id, ready),
        sql.rows(_BRANCHES, project_id),
        sql.rows(_PULL_REQUESTS, project_id),
    )


def _facts_of_one(project_id: int, id_: str, policy: Policy) -> Facts:
    """As much as is needed for a verdict on one deployment."""
    kept, ready = policy.production_kept, DeploymentStatus.READY
    return _facts(
        project_id,
        sql.rows(_ONE + _NEWEST_FIRST, project_id, ready, id_, project_id, ready, kept),
        sql.rows(_BRANCHES + _ITS_BRANCHES, project_id, id_, id_, id_),
        sql.rows(_PULL_REQUESTS + _ITS_PULL_REQUESTS, project_id, id_, id_, id_),
    )


def _facts(
    project_id: int,
    live: list[tuple[Any, ...]],
    branches: list[tuple[Any, ...]],
    pull_requests: list[tuple[Any, ...]],
) -> Facts:
    aliases: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for deployment_id, kind, name in sql.rows(
        "SELECT deployment_id, kind, name FROM aliases WHERE project_id = ?", project_id
    ):
        aliases[deployment_id].append((kind, name))
    return Facts(
        live=tuple(Candidate(*row) for row in live),
        building=frozenset(row[0] for row in sql.rows(_BUILDING, project_id, *ACTIVE)),
        aliases={id_: tuple(names) for id_, names in aliases.items()},
        branches={
            name: (sha, moved_at if deleted else None) for name, sha, deleted, moved_at in branches
        },
        pull_requests={
            number: (sha, branch, None if is_open else moved_at)
            for number, sha, branch, is_open, moved_at in pull_requests
        },
    )


@dataclass(frozen=True, slots=True)
class Going:
    """A live deployment that nothing needs. `due`: its time is up; else it is expendable."""

    project_id: int
    id: str
    sha: str
    ref: str
    used_at: int
    due: bool
    because: str


def going(project_id: int, policy: Policy, time: int) -> list[Going]:
    """All that nothing needs, the longest unused first."""
    facts = facts_of(project_id)
    verdicts = decide(facts, policy)
    found = []
    for one in facts.live:
        verdict = verdicts[one.id]
        if verdict.kept:
            continue
        due = verdict.expired(time)
        because = verdict.because if due else "room is needed, and no name leads to it"
        found.append(Going(project_id, one.id, one.sha, one.ref, one.used_at, due, because))
    return sorted(found, key=lambda one: (one.used_at, one.id))


def remove(project_id: int, policy: Policy, wanted: Collection[str]) -> list[str]:
    """Mark those of `wanted` as expired that nothing needs; the caller holds a transaction,
    and deletes the rest.

    Decided and done under the project's lock: what a name was led to meanwhile stays.
    """
    sql.lock_project(project_id)
    verdicts = decide(facts_of(project_id), policy)
    gone = [id_ for id_ in wanted if id_ in verdicts and not verdicts[id_].kept]
    for deployment_id in gone:
        changes.delete_deployment(deployment_id, DeploymentStatus.EXPIRED)
    return gone


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a deployment is still there, in words, and when it goes (ms), if that is known.

    `needed`: it stays, whatever room it takes. No reasons: it is not live, or its time is up.
    """

    reasons: tuple[str, ...]
    needed: bool = False
    expires_at: int | None = None


def why_kept(project_id: int, deployment_id: str, policy: Policy, time: int) -> Kept:
    facts = _facts_of_one(project_id, deployment_id, policy)
    verdict = decide(facts, policy).get(deployment_id)
    if verdict is None:
        return Kept(())
    if verdict.kept:
        return Kept(verdict.reasons, needed=True)
    if verdict.expired(time):
        return Kept((), expires_at=verdict.expires_at)
    if verdict.expires_at is not None:
        days = -(-(verdict.expires_at - time) // DAY)
        when = f"in {days} days" if days != 1 else "within a day"
        return Kept((f"{verdict.because}; it goes {when}",), expires_at=verdict.expires_at)
    return Kept(("nothing says that it should go",))
