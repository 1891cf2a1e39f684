"""Forks' commits: what waits, who asks, and that exactly one commit is meant."""

from __future__ import annotations

from typing import Any

import pytest

from bot import events
from bot.errors import UserError
from bot.models import approvals, changes, deployments, projects, variables
from bot.models.approvals import Source
from bot.models.database import Database
from bot.models.status import BuildStatus
from bot.models.tables import Alias, Approval, Build, Deployment, PullRequest
from bot.models.variables import Context
from bot.settings import Settings
from tests.webhooks import payloads
from tests.webhooks.payloads import B, C
from tests.webhooks.test_intake import Receiver, finish

FORK = "stranger/site"
BEFORE, AFTER = "2026-01-01T09:59:59Z", "2026-01-01T10:00:01Z"


@pytest.fixture
def receiver(settings: Settings, database: Database) -> Receiver:
    made = Receiver(settings, database)
    for kind in (events.ApprovalNeeded, events.ApprovalAsked):
        made.bus.subscribe(kind, made.told.append)
    return made


def from_fork(action: str = "opened", **changes: Any) -> dict[str, Any]:
    return payloads.pull_request(action, head=FORK, **changes)


def labelled(label: str = "deploy", **changes: Any) -> dict[str, Any]:
    more = {"label": {"name": label}, "sender": {"login": "maria"}} | changes
    return from_fork("labeled", updated_at=AFTER, **more)


def comment(body: str = "/deploy", at: str = AFTER, **changes: Any) -> dict[str, Any]:
    found = {
        "action": "created",
        "issue": {"number": 7, "pull_request": {"url": "x"}},
        "comment": {"id": 99, "body": body, "created_at": at, "user": {"login": "maria"}},
        "repository": payloads.repository(pushed_at="2026-01-01T09:00:00Z"),
    }
    return found | changes


def grant(receiver: Receiver, sha: str = B) -> deployments.Requested:
    with receiver.database.write():
        return approvals.approve(1, 7, sha, actor="maria")


def test_a_fork_waits_and_is_told_so(receiver: Receiver) -> None:
    _, answer = receiver.send("pull_request", from_fork())
    assert "approval" in answer["reason"]
    assert receiver.told == [events.ApprovalNeeded(PullRequest.get().id)]
    assert Build.select().count() == 0
    assert [row.sha for row in approvals.waiting()] == [B]


def test_a_comment_asks_for_the_head_that_was_known_before_it(receiver: Receiver) -> None:
    receiver.send("pull_request", from_fork())
    _, answer = receiver.send("issue_comment", comment())
    assert answer["outcome"] == "accepted"
    asked = Approval.get()
    assert (asked.sha, asked.actor, asked.source) == (B, "maria", Source.COMMENT)
    assert (asked.state, asked.comment_id) == ("asked", 99)
    assert receiver.told[-1] == events.ApprovalAsked(asked.id)
    assert Build.select().count() == 0


@pytest.mark.parametrize("at", [BEFORE, "2026-01-01T10:00:00Z"])
def test_a_commit_that_came_with_or_after_the_comment_is_not_what_was_looked_at(
    receiver: Receiver, at: str
) -> None:
    receiver.send("pull_request", from_fork())
    _, answer = receiver.send("issue_comment", comment(at=at))
    assert answer["outcome"] == "ignored"
    assert "after the comment" in answer["reason"]
    _, answer = receiver.send("issue_comment", comment(f"/deploy {B[:12]}", at=at))
    assert answer["outcome"] == "ignored"
    _, answer = receiver.send("issue_comment", comment(f"/deploy {B}", at=at))
    assert answer["outcome"] == "accepted"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (comment("please /deploy"), "begin with /deploy"),
        (comment("/deployment"), "begin with /deploy"),
        (comment("/deploy; rm"), "begin with /deploy"),
        (comment(action="edited"), "only new comments"),
        (comment(issue={"number": 7}), "on pull requests"),
        (comment(f"/deploy {C}"), "is not the newest commit"),
        (comment(issue={"number": 8, "pull_request": {}}), "nothing is known"),
        (comment(comment={"id": 9, "body": "/deploy", "created_at": AFTER, "user": None}), "gone"),
        (comment(repository=payloads.repository("octo/other")), "nothing is known"),
    ],
)
def test_what_is_no_approval(receiver: Receiver, payload: Any, why: str) -> None:
    receiver.send("pull_request", from_fork())
    _, answer = receiver.send("issue_comment", payload)
    assert answer["outcome"] == "ignored"
    assert why in answer["reason"]
    assert Approval.select().count() == 0


def test_the_label_asks_for_the_head_in_its_own_event(receiver: Receiver) -> None:
    receiver.send("pull_request", from_fork())
    receiver.send("pull_request", labelled("DEPLOY", sha=C))
    asked = Approval.get()
    assert (asked.sha, asked.source, asked.actor) == (C, Source.LABEL, "maria")
    assert PullRequest.get().head_sha == C


def test_a_label_makes_a_pull_request_known_that_was_opened_before_the_bot_was_there(
    receiver: Receiver,
) -> None:
    receiver.send("pull_request", labelled())
    assert (Approval.get().sha, PullRequest.get().fork) == (B, True)


def test_a_label_of_an_older_head_is_too_late(receiver: Receiver) -> None:
    receiver.send("pull_request", from_fork(sha=C, updated_at="2026-01-01T10:00:09Z"))
    _, answer = receiver.send("pull_request", labelled())
    assert answer["reason"] == "something newer is known of this pull request"


@pytest.mark.parametrize(
    "payload",
    [
        labelled("bug"),
        labelled(label=None),
        labelled(sender=None),
        payloads.pull_request("labeled", label={"name": "deploy"}, sender={"login": "maria"}),
    ],
)
def test_other_labels_ask_for_nothing(receiver: Receiver, payload: Any) -> None:
    receiver.send("pull_request", payload)
    assert Approval.select().count() == 0


def test_the_label_can_be_switched_off(make_settings: Any, database: Database) -> None:
    receiver = Receiver(make_settings(FORK_APPROVAL_LABEL="-"), database)
    receiver.send("pull_request", labelled("-"))
    receiver.send("pull_request", labelled())
    assert Approval.select().count() == 0


def test_an_approved_commit_is_built_without_trust_and_under_no_branch_of_ours(
    receiver: Receiver,
) -> None:
    receiver.send("pull_request", from_fork(ref="main"))
    receiver.send("push", payloads.push(after=C))
    requested = grant(receiver)
    deployment = Deployment.get_by_id(requested.deployment_id)
    assert (deployment.trusted, deployment.ref) == (False, "pull/7/head")
    finish(receiver, requested.build_id)
    with receiver.database.write():
        projects.point_aliases(deployment.id)
    assert [(row.kind, row.name) for row in Alias.select()] == [("pull request", "7")]
    with pytest.raises(UserError, match="from a fork"), receiver.database.write():
        changes.promote(1, deployment.id)


def test_a_later_push_waits_again_and_ends_the_approved_build(receiver: Receiver) -> None:
    receiver.send("pull_request", from_fork())
    older = grant(receiver)
    later = from_fork("synchronize", sha=C, updated_at=AFTER)
    _, answer = receiver.send("pull_request", later)
    assert "approval" in answer["reason"]
    assert Build.get_by_id(older.build_id).status == BuildStatus.SUPERSEDED
    with pytest.raises(UserError, match="newest commit"):
        grant(receiver, B)
    # What was approved once is what it was: the head goes back to it.
    back = from_fork("synchronize", sha=B, updated_at="2026-01-01T10:00:05Z")
    status, answer = receiver.send("pull_request", back)
    assert status == 202
    assert not Deployment.get_by_id(answer["deployment_id"]).trusted


def test_approving_twice_makes_one_build(receiver: Receiver) -> None:
    receiver.send("pull_request", from_fork())
    assert grant(receiver).build_id == grant(receiver).build_id
    assert Build.select().count() == 1
    assert approvals.waiting() == []


def test_a_fork_whose_commit_is_ours_needs_no_approval(receiver: Receiver) -> None:
    _, first = receiver.send("push", payloads.push())
    _, answer = receiver.send("pull_request", from_fork())
    assert answer["build_id"] == first["build_id"]
    assert Deployment.get().trusted


def test_a_forks_commit_that_is_merged_is_built_anew_with_trust(receiver: Receiver) -> None:
    receiver.send("pull_request", from_fork())
    older = grant(receiver)
    status, answer = receiver.send("push", payloads.push(after=B))
    assert status == 202
    assert Build.get_by_id(older.build_id).status == BuildStatus.SUPERSEDED
    deployment = Deployment.get()
    assert (deployment.trusted, deployment.environment, deployment.ref) == (
        True,
        "production",
        "main",
    )
    assert answer["build_id"] != older.build_id


def test_a_fork_cannot_take_trust_away(receiver: Receiver) -> None:
    receiver.send("push", payloads.push())
    receiver.send("pull_request", from_fork())
    grant(receiver)
    assert Deployment.get().trusted
    assert Build.select().count() == 1


def test_only_an_open_pull_request_of_a_fork_can_be_approved(receiver: Receiver) -> None:
    receiver.send("pull_request", payloads.pull_request())
    with pytest.raises(UserError, match="from no fork"):
        grant(receiver)
    closed = from_fork("closed", state="closed", number=9)
    receiver.send("pull_request", closed)
    with pytest.raises(UserError, match="closed"), receiver.database.write():
        approvals.approve(1, 9, B, actor="maria")
    with pytest.raises(UserError, match="Nothing is known") as caught, receiver.database.write():
        approvals.approve(1, 10, B, actor="maria")
    assert caught.value.code == "pull-request-not-found"


def test_damaged_comments_never_fail(receiver: Receiver) -> None:
    receiver.send("pull_request", from_fork())
    for part in ("action", "issue", "comment", "repository"):
        for odd in (None, "", -1, [], {}, "\x00"):
            assert receiver.send("issue_comment", comment(**{part: odd}))[0] in {200, 400}
    for login in ("a/b", "../x", "a b", "a\n"):
        bad = {"id": 1, "body": "/deploy", "created_at": AFTER, "user": {"login": login}}
        assert receiver.send("issue_comment", comment(comment=bad))[0] == 400


@pytest.mark.parametrize(("context", "builds"), [(Context.ALL, 1), (Context.PRODUCTION, 2)])
def test_a_preview_that_reaches_production_is_built_with_its_variables(
    receiver: Receiver, context: Context, builds: int
) -> None:
    _, first = receiver.send("push", payloads.push(ref="refs/heads/topic"))
    with receiver.database.write():
        variables.put(1, "TOKEN", context, "sealed")
    finish(receiver, first["build_id"])
    receiver.send("push", payloads.push(ref="refs/heads/main"))
    assert (Build.select().count(), Deployment.get().environment) == (builds, "production")
