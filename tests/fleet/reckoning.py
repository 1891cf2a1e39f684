"""What came of every push, counted in the database, in the bucket, at GitHub and over HTTP."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from tests.fleet.github import LOGIN, GitHub
from tests.fleet.machines import Machine
from tests.fleet.sites import Push

_ACTIVE = {"queued", "cloning", "building", "publishing"}
_FINAL = {"success", "failure", "error"}
_BUILDS = """
SELECT p.name, d.sha, d.id, d.status, b.status, b.error_code, b.attempts, d.environment
FROM builds b JOIN deployments d ON d.id = b.deployment_id JOIN projects p ON p.id = d.project_id
ORDER BY b.created_at, b.id
"""
_UNSENT = """
SELECT kind, state, due_at, lease_until, attempts, last_error FROM outbox
WHERE state IN ('waiting', 'sending') ORDER BY id
"""


@dataclass
class Row:
    """A deployment and its newest build."""

    id: str
    status: str
    build: str
    error: str
    attempts: int
    environment: str


@dataclass
class Reckoning:
    """Rows of the table, and whatever is not as it must be."""

    rows: list[tuple[str, int | str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def count(self, what: str, number: int | str) -> None:
        self.rows.append((what, number))

    def must_be_none(self, what: str, found: Sequence[str]) -> None:
        self.rows.append((what, len(found)))
        self.problems += [f"{what}: {one}" for one in found]

    def table(self) -> str:
        width = max(len(what) for what, _ in self.rows)
        lines = [f"| {'What':<{width}} | Number |", f"|{'-' * (width + 2)}|--------|"]
        lines += [f"| {what:<{width}} | {number:>6} |" for what, number in self.rows]
        return "\n".join(lines)


def builds_of(database_url: str) -> dict[tuple[str, str], list[Row]]:
    """(repository, SHA) → its deployments, each with its newest build."""
    found: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
    with psycopg.connect(database_url) as connection:
        for name, sha, id_, *rest in connection.execute(_BUILDS).fetchall():
            found[name, sha][id_] = Row(id_, *rest)
    return {key: list(rows.values()) for key, rows in found.items()}


def left_to_do(database_url: str) -> str:
    """What is not through yet, in words; empty: all is."""
    rows = [row for rows in builds_of(database_url).values() for row in rows]
    active = Counter(row.build for row in rows if row.build in _ACTIVE)
    with psycopg.connect(database_url) as connection:
        unsent = connection.execute(_UNSENT).fetchall()
    if not active and not unsent:
        return ""
    return f"{dict(active)} builds, {len(unsent)} entries of the outbox: {unsent[:3]}"


def settle(database_url: str, seconds: float) -> None:
    """Wait until nothing waits or runs, and GitHub was told all."""
    deadline = time.monotonic() + seconds
    calm = 0
    while calm < 5:
        left = left_to_do(database_url)
        calm = 0 if left else calm + 1
        assert time.monotonic() < deadline, f"after {seconds:.0f} s there are still {left}"
        time.sleep(0.2)


def reckon_pushes(reckoning: Reckoning, pushes: Sequence[Push], database_url: str) -> None:
    """Every push that was answered 202 ends ready, or failed for a reason of its own."""
    builds = builds_of(database_url)
    ended: Counter[str] = Counter()
    lost, wrong, several, retried = [], [], [], 0
    newest = {(push.repository.name, push.branch): push.after for push in pushes}
    for push in pushes:
        found = builds.get((push.repository.name, push.after), [])
        name = f"{push.text} ({push.after[:7]}, answered {_status(push)})"
        if len(found) > 1:
            several.append(name)
        if not found:
            # What never arrived and was superseded meanwhile need not be taken up.
            overtaken = newest[push.repository.name, push.branch] != push.after
            if push.accepted or not overtaken:
                lost.append(name)
            continue
        row = found[0]
        retried += row.attempts > 1
        end = row.build
        ended[end] += 1
        superseded = end == "superseded" and newest[push.repository.name, push.branch] != push.after
        if not superseded and (end != push.wanted or (end == "failed") != bool(row.error)):
            wrong.append(f"{name}: {end} {row.error}, wanted {push.wanted}")
    reckoning.count("pushes", len(pushes))
    reckoning.count("… answered 202", sum(push.accepted for push in pushes))
    unanswered = [push for push in pushes if not push.accepted]
    taken_up = sum((push.repository.name, push.after) in builds for push in unanswered)
    reckoning.count("… answered otherwise or not at all", len(unanswered))
    reckoning.count("    … of which taken up later", taken_up)
    for status in ("ready", "failed", "superseded"):
        reckoning.count(f"builds that ended {status}", ended.pop(status, 0))
    reckoning.count("builds that took more than one attempt", retried)
    reckoning.must_be_none("pushes that were lost", lost)
    reckoning.must_be_none("builds that ended otherwise than they must", wrong)
    reckoning.must_be_none("commits with several deployments", several)


def reckon_pages(
    reckoning: Reckoning,
    pushes: Sequence[Push],
    database_url: str,
    published: Sequence[str],
    webs: Sequence[Machine],
) -> None:
    """Exactly one published deployment of each commit that is ready, and none of the others.

    `published`: ids of all deployments that have a manifest in the bucket.
    """
    builds = builds_of(database_url)
    manifests = Counter(published)
    missing, wrong, unwanted, pages = [], [], [], 0
    known = {row.id for rows in builds.values() for row in rows}
    for push in pushes:
        for row in builds.get((push.repository.name, push.after), []):
            ready = row.build == "ready"
            if ready and (manifests[row.id], row.status) != (1, "ready"):
                missing.append(f"{push.text}: {manifests[row.id]} manifests, {row.status}")
            for web in webs:
                status, body = _page(web, push.after)
                pages += 1
                if ready != (status == 200 and push.text in body):
                    where = unwanted if status == 200 else wrong
                    where.append(f"{web.name}/{push.after}: {status} for a build {row.build}")
    reckoning.count("pages asked for", pages)
    reckoning.must_be_none("ready commits without exactly one published deployment", missing)
    reckoning.must_be_none("pages that are not what was pushed", wrong)
    reckoning.must_be_none("pages of builds that did not end ready", unwanted)
    reckoning.must_be_none("manifests of no deployment", sorted(manifests.keys() - known))


def reckon_github(
    reckoning: Reckoning, github: GitHub, pushes: Sequence[Push], database_url: str
) -> None:
    """Every commit's last status is final and true; one comment for each pull request."""
    builds = builds_of(database_url)
    pending, untrue, doubled, stale, statuses = [], [], [], [], 0
    for push in pushes:
        states = push.repository.statuses[push.after]
        statuses += len(states)
        rows = builds.get((push.repository.name, push.after), [])
        if not rows:
            continue
        last = states[-1]["state"] if states else "never told"
        if last not in _FINAL:
            pending.append(f"{push.text}: {last}")
        elif last != {"ready": "success", "superseded": "success"}.get(rows[-1].build, "failure"):
            untrue.append(f"{push.text}: {last} for a build {rows[-1].build}")
    comments = 0
    for repository in github.repositories.values():
        for number, pull in repository.pulls.items():
            ours = [c for c in repository.comments[number] if c["user"]["login"] == LOGIN]
            comments += len(ours)
            name = f"{repository.name}#{number}"
            if len(ours) != 1:
                doubled.append(f"{name}: {len(ours)} comments")
            elif pull["head"]["sha"][:12] not in ours[0]["body"]:
                stale.append(f"{name}: {ours[0]['body'][:200]}")
        made = Counter(
            (one["ref"], one["environment"], json.dumps(one["payload"]))
            for one in repository.deployments
        )
        doubled += [f"{repository.name}: {n} of {one}" for one, n in made.items() if n > 1]
    reckoning.count("statuses that GitHub was told", statuses)
    reckoning.must_be_none("commits whose last status is not final", pending)
    reckoning.must_be_none("commits whose last status is not true", untrue)
    reckoning.count("comments on pull requests", comments)
    reckoning.must_be_none("comments and deployments too many or too few", doubled)
    reckoning.must_be_none("comments that do not tell of the newest commit", stale)


def _status(push: Push) -> int:
    return push.delivery.status if push.delivery is not None else 0


def _page(web: Machine, sha: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{web.url}/{sha}/", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
