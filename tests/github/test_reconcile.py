"""What GitHub could not tell us is taken up once, and in the order in which it happened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from responses import RequestsMock
from responses.matchers import header_matcher

from bot.events import Bus
from bot.github.client import TokenClient
from bot.models import deployments, inbox, projects
from bot.models.database import Database
from bot.models.group_commit import GroupCommit
from bot.models.status import BuildStatus
from bot.models.tables import Build, Delivery, PullRequest, Ref
from bot.reconcile import Found, Reconciler
from bot.settings import Settings
from bot.webhooks.intake import Intake
from tests.github.conftest import API
from tests.webhooks import payloads

OLD, NEW = "a" * 40, "b" * 40
URL = "https://bot.test/webhooks/github"
HOOK = f"{API}/hooks/7/deliveries"


class Watch:
    """A bot that was away, and GitHub as it is now."""

    def __init__(self, settings: Settings, database: Database, github: RequestsMock) -> None:
        self.settings, self.database, self.github = settings, database, github
        self.woken: list[str] = []
        intake = Intake(settings, GroupCommit(database), Bus(), self.woken.extend)
        self.reconciler = Reconciler(settings, TokenClient(settings), intake.take)
        with database.write():
            self.project = projects.connect_project(
                "octo/site", production_branch="main", private=False, installation_id=None
            )
            projects.move_ref(self.project, "main", OLD, 1000, "0" * 40)

    def answers(
        self,
        branches: dict[str, str] | None = None,
        pulls: list[dict[str, Any]] | None = None,
        hooks: list[dict[str, Any]] | None = None,
    ) -> None:
        """What GitHub says of branches, pull requests and hooks."""
        branches = {"main": OLD} if branches is None else branches
        listed = [{"name": name, "commit": {"sha": sha}} for name, sha in branches.items()]
        date = {"Date": "Tue, 24 Nov 2026 12:00:00 GMT"}
        self.github.get(f"{API}/branches", json=listed, headers=date)
        self.github.get(f"{API}/pulls", json=pulls or [], headers=date)
        self.github.get(f"{API}/hooks", json=hooks or [])
        commit = re.compile(rf"{re.escape(API)}/commits/.*")
        self.github.get(commit, json={"commit": {"message": "Say more"}})

    def run(self) -> Found:
        return self.reconciler.run()


@pytest.fixture
def watch(
    make_settings: Callable[..., Settings], database: Database, github: RequestsMock
) -> Watch:
    settings = make_settings(GITHUB_TOKEN="token", PUBLIC_URL="https://bot.test")
    return Watch(settings, database, github)


def hook() -> dict[str, Any]:
    return {"id": 7, "url": f"{API}/hooks/7", "config": {"url": URL}}


def listed(number: int, guid: str, event: str = "push", age: float = 1) -> dict[str, Any]:
    """A line of GitHub's list; `age` in hours."""
    delivered = datetime.now(UTC) - timedelta(hours=age)
    return {
        "id": number,
        "guid": guid,
        "event": event,
        "delivered_at": delivered.isoformat().replace("+00:00", "Z"),
        "status_code": 502,
    }


def pull(
    number: int, sha: str, *, created: str = "2036-01-01T00:00:00Z", fork: bool = False
) -> dict[str, Any]:
    repository = {"id": 1}
    return {
        "number": number,
        "draft": False,
        "created_at": created,
        "user": {"login": "mona"},
        "head": {"sha": sha, "ref": "topic", "repo": {"id": 2} if fork else repository},
        "base": {"repo": repository},
    }


def test_nothing_was_missed(watch: Watch) -> None:
    watch.answers()
    assert watch.run() == Found()
    assert watch.woken == []


def test_a_push_to_a_known_branch_that_nobody_told_of_is_built(watch: Watch) -> None:
    watch.answers({"main": NEW})
    assert watch.run() == Found(heads=1)
    (build,) = deployments.builds_of_commit(NEW)
    assert build.deployment.environment == "production"
    assert watch.woken == [build.id]
    assert Ref.get(name="main").sha == NEW
    # The second look finds what the first one recorded.
    assert watch.run() == Found()
    assert len(deployments.builds_of_commit(NEW)) == 1


def test_an_account_that_is_told_to_wait_is_not_asked_again_in_the_same_look(
    watch: Watch,
) -> None:
    with watch.database.write():
        for name in ("octo/second", "octo/third"):
            projects.connect_project(
                name, production_branch="main", private=False, installation_id=None
            )
    anything = re.compile(r"https://api\.github\.com.*")
    limited = {"message": "You have exceeded a secondary rate limit."}
    watch.github.get(anything, json=limited, status=403, headers={"Retry-After": "60"})
    # Of the first project, its hook and its branches.
    assert watch.run() == Found(unreachable=4)
    assert len(watch.github.calls) == 2
    # The next look tries again.
    watch.run()
    assert len(watch.github.calls) == 4


def test_a_missed_commit_that_asks_for_no_build_gets_none(watch: Watch) -> None:
    watch.answers({"main": NEW})
    commit = re.compile(rf"{re.escape(API)}/commits/.*")
    watch.github.replace("GET", commit, json={"commit": {"message": "Typo [skip ci]"}})
    watch.run()
    assert watch.woken == []
    assert not deployments.builds_of_commit(NEW)


def test_a_delivery_that_comes_after_all_builds_nothing_twice(watch: Watch) -> None:
    watch.answers({"main": NEW})
    watch.run()
    late = Intake(watch.settings, GroupCommit(watch.database), Bus(), watch.woken.extend)
    from bot.webhooks import events

    body = json.dumps(payloads.push(before=OLD, after=NEW)).encode()
    late.take(
        "guid-of-the-late-one", "push", "0" * 64, events.parse("push", "application/json", body)
    )
    assert len(deployments.builds_of_commit(NEW)) == 1


def test_a_branch_that_is_gone_ends_its_waiting_build(watch: Watch) -> None:
    with watch.database.write():
        projects.move_ref(watch.project, "topic", NEW, 1000, "0" * 40)
        requested = deployments.request_build(watch.project, NEW, "topic", "push", "preview")
    watch.answers()
    assert watch.run() == Found(heads=1)
    assert Ref.get(name="topic").deleted
    assert Build.get_by_id(requested.build_id).status != BuildStatus.QUEUED


def test_an_answer_without_any_branch_ends_no_build(watch: Watch) -> None:
    with watch.database.write():
        requested = deployments.request_build(watch.project, OLD, "main", "push", "production")
    watch.answers({})
    assert watch.run() == Found()
    assert Build.get_by_id(requested.build_id).status == BuildStatus.QUEUED
    assert not Ref.get(name="main").deleted


def test_branches_that_were_never_pushed_to_since_are_left_alone(watch: Watch) -> None:
    watch.answers({"main": OLD, "ancient": NEW})
    assert watch.run() == Found()
    assert not deployments.builds_of_commit(NEW)


def test_a_pull_request_that_was_opened_meanwhile_is_built(watch: Watch) -> None:
    watch.answers(pulls=[pull(4, NEW)])
    assert watch.run() == Found(heads=1)
    assert [build.id for build in deployments.builds_of_commit(NEW)] == watch.woken
    assert PullRequest.get(number=4).open


def test_one_that_was_open_before_the_project_was_connected_waits_for_its_next_push(
    watch: Watch,
) -> None:
    watch.answers(pulls=[pull(4, NEW, created="2016-01-01T00:00:00Z")])
    assert watch.run() == Found()


def test_a_missed_pull_request_from_a_fork_is_not_built_unasked(watch: Watch) -> None:
    watch.answers(pulls=[pull(4, NEW, fork=True)])
    watch.run()
    assert not deployments.builds_of_commit(NEW)
    assert PullRequest.get(number=4).fork


def test_a_pull_request_that_was_closed_meanwhile_is_closed(watch: Watch) -> None:
    watch.answers(pulls=[pull(4, NEW)])
    watch.run()
    watch.github.replace("GET", f"{API}/pulls", json=[])
    assert watch.run() == Found(heads=1)
    assert not PullRequest.get(number=4).open


def test_deliveries_that_never_arrived_are_taken_up_in_their_order(watch: Watch) -> None:
    watch.answers({"main": NEW, "topic": OLD}, hooks=[hook()])
    lines = [
        listed(3, "guid-number-3", "issues"),
        listed(2, "guid-number-2", age=2),
        listed(1, "guid-number-1", age=3),
        listed(0, "guid-too-old", age=73),
    ]
    watch.github.get(HOOK, json=lines)
    for number, (ref, after) in {1: ("topic", OLD), 2: ("main", NEW)}.items():
        payload = payloads.push(ref=f"refs/heads/{ref}", before="0" * 40, after=after)
        watch.github.get(f"{HOOK}/{number}", json={"request": {"payload": payload}})
    assert watch.run() == Found(deliveries=2)
    assert len(deployments.builds_of_commit(NEW)) == 1, "new branches are known by their delivery"
    assert len(deployments.builds_of_commit(OLD)) == 1
    guids = [row.guid for row in Delivery.select().order_by(Delivery.received_at, Delivery.guid)]
    assert guids == ["guid-number-1", "guid-number-2"]
    asked = [call.request.url for call in watch.github.calls]
    assert not [url for url in asked if url and url.endswith(("/0", "/3"))]


def test_deliveries_that_did_arrive_are_not_asked_for(watch: Watch) -> None:
    watch.answers(hooks=[hook()])
    watch.github.get(HOOK, json=[listed(1, "guid-number-1")])
    with watch.database.write():
        inbox.remember("guid-number-1", "push", "0" * 64, "")
    assert watch.run() == Found()


def test_all_pages_are_read_and_the_second_look_reads_only_what_is_new(watch: Watch) -> None:
    watch.answers(hooks=[hook()])
    later = {"Link": f'<{HOOK.replace(":443", "")}?per_page=100&cursor=x>; rel="next"'}
    first = watch.github.get(
        f"{HOOK}?per_page=100", json=[listed(2, "guid-number-2", "issues")], headers=later
    )
    second = watch.github.get(
        f"{HOOK}?per_page=100&cursor=x", json=[listed(1, "guid-number-1", "issues")]
    )
    watch.run()
    watch.run()
    # The first page of the second look ends with what is older than the first look.
    assert (first.call_count, second.call_count) == (2, 1)


def test_an_unchanged_list_costs_nothing(watch: Watch) -> None:
    watch.github.get(f"{API}/branches", json=[], headers={"ETag": '"one"'})
    watch.github.get(f"{API}/pulls", json=[], headers={"ETag": '"two"'})
    watch.github.get(f"{API}/hooks", json=[])
    with watch.database.write():
        projects.delete_ref(watch.project, "main", 2000)
    watch.run()
    watch.github.remove("GET", f"{API}/branches")
    watch.github.remove("GET", f"{API}/pulls")
    for what, tag in (("branches", '"one"'), ("pulls", '"two"')):
        match = [header_matcher({"If-None-Match": tag})]
        watch.github.get(f"{API}/{what}", status=304, match=match)
    assert watch.run() == Found()


def test_what_failed_on_the_way_is_told_again(watch: Watch) -> None:
    listed = [{"name": "main", "commit": {"sha": NEW}}]
    watch.github.get(f"{API}/branches", json=listed, headers={"ETag": '"one"'})
    watch.github.get(f"{API}/pulls", json=[])
    watch.github.get(f"{API}/hooks", json=[])
    failing = watch.github.get(f"{API}/commits/{NEW}", status=502, json={})
    assert watch.run() == Found(unreachable=1)
    watch.github.remove(failing)
    watch.github.get(f"{API}/commits/{NEW}", json={"commit": {"message": "Say more"}})
    assert watch.run() == Found(heads=1)
    unconditional = [
        call.request.headers.get("If-None-Match")
        for call in watch.github.calls
        if "/branches" in str(call.request.url)
    ]
    assert unconditional == [None, None]


def test_a_project_that_cannot_be_asked_keeps_no_other_from_being_looked_at(watch: Watch) -> None:
    with watch.database.write():
        projects.connect_project(
            "a/first", production_branch="main", private=False, installation_id=None
        )
    broken = API.replace("octo/site", "a/first")
    watch.github.get(re.compile(rf"{re.escape(broken)}/.*"), status=500, json={})
    watch.answers({"main": NEW})
    found = watch.run()
    assert (found.heads, found.unreachable) == (1, 2)
