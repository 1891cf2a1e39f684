"""Waiting and approval as GitHub sees them: asked by its own endpoint, told without red."""

from __future__ import annotations

from typing import Any

import pytest
from responses import RequestsMock

from bot import events
from bot.events import Bus
from bot.github.approval import Approver
from bot.github.client import TokenClient
from bot.github.report import Reporter
from bot.github.sender import Sender
from bot.models import approvals
from bot.models.approvals import ApprovalState, Source
from bot.models.database import Database
from bot.models.tables import Approval, Build, Deployment, OutboxEntry, PullRequest
from bot.settings import Settings
from tests.github.conftest import API, SHA, Desk, accept_all, bodies, sent

PERMISSION = f"{API}/collaborators/maria/permission"


@pytest.fixture
def waiting(desk: Desk) -> Desk:
    """A fork's pull request 7 that waits; `desk.woken` are the builds that workers get."""
    approver = Approver(desk.database, desk.bus)
    desk.woken = []  # type: ignore[attr-defined]
    approver.requeue = lambda build_id, _delay: desk.woken.append(build_id)  # type: ignore[attr-defined]
    client = TokenClient(desk.settings)
    desk.sender = Sender(desk.database, client, desk.settings, lambda: desk.time, approver)
    pull_request = desk.open_pull_request()
    PullRequest.update(fork=True).execute()
    desk.publish(events.ApprovalNeeded(pull_request.id))
    return desk


def ask(desk: Desk, sha: str = SHA, comment_id: int | None = 99) -> Approval:
    with desk.database.write():
        asked = approvals.ask(
            desk.project_id, 7, sha, actor="maria", source=Source.COMMENT, comment_id=comment_id
        )
        desk.bus.publish(events.ApprovalAsked(asked))
    found = approvals.find(asked)
    assert found is not None
    return found


def test_waiting_is_neither_red_nor_pending_and_says_what_to_do(
    waiting: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    waiting.deliver()
    (status,) = bodies(github, "POST", f"/statuses/{SHA}")
    assert status["state"] == "success"
    assert status["description"] == (
        "Waiting for approval: a collaborator comments /deploy or adds the label deploy"
    )
    assert len(status["description"]) <= 140
    (comment,) = bodies(github, "POST", "/issues/7/comments")
    assert f"/deploy {SHA}" in comment["body"]
    assert "write access" in comment["body"]
    assert OutboxEntry.select().where(OutboxEntry.kind == "deployment").count() == 0


@pytest.mark.parametrize("permission", ["admin", "write", "maintain"])
def test_who_may_write_may_approve(waiting: Desk, github: RequestsMock, permission: str) -> None:
    accept_all(github)
    github.get(PERMISSION, json={"permission": permission})
    github.post(f"{API}/issues/comments/99/reactions", json={"id": 5}, status=201)
    asked = ask(waiting)
    waiting.deliver()
    assert approvals.find(asked.id).state == ApprovalState.GRANTED  # type: ignore[union-attr]
    build = Build.get()
    assert waiting.woken == [build.id]  # type: ignore[attr-defined]
    assert not Deployment.get().trusted
    assert bodies(github, "POST", "/issues/comments/99/reactions") == [{"content": "+1"}]
    states = [body["state"] for body in bodies(github, "POST", f"/statuses/{SHA}")]
    assert states[-1] == "pending"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"json": {"permission": "read", "role_name": "triage"}}, "permission `read`"),
        ({"json": {"permission": "none"}}, "permission `none`"),
        ({"json": {"message": "Not Found"}, "status": 404}, "none that GitHub tells"),
        ({"json": {"message": "Resource not accessible"}, "status": 403}, "none that GitHub tells"),
    ],
)
def test_others_are_refused_and_told_why(
    waiting: Desk, github: RequestsMock, answer: dict[str, Any], words: str
) -> None:
    accept_all(github)
    github.get(PERMISSION, **answer)
    github.post(f"{API}/issues/comments/99/reactions", json={"id": 5}, status=201)
    asked = ask(waiting)
    waiting.deliver()
    assert approvals.find(asked.id).state == ApprovalState.REFUSED  # type: ignore[union-attr]
    assert Build.select().count() == 0
    assert bodies(github, "POST", "/issues/comments/99/reactions") == [{"content": "-1"}]
    said = bodies(github, "PATCH", "/issues/comments/55") + bodies(
        github, "POST", "/issues/7/comments"
    )
    assert words in said[-1]["body"]
    assert "write access" in said[-1]["body"]


def test_github_is_asked_again_when_it_was_down(waiting: Desk, github: RequestsMock) -> None:
    accept_all(github)
    github.get(PERMISSION, json={"message": "oops"}, status=502)
    github.get(PERMISSION, json={"permission": "write"})
    asked = ask(waiting, comment_id=None)
    waiting.deliver()
    assert approvals.find(asked.id).state == ApprovalState.ASKED  # type: ignore[union-attr]
    waiting.deliver_later(4)
    assert approvals.find(asked.id).state == ApprovalState.GRANTED  # type: ignore[union-attr]


def test_who_waits_is_told_when_asking_is_given_up(waiting: Desk, github: RequestsMock) -> None:
    accept_all(github)
    github.get(PERMISSION, json={"message": "Gone"}, status=410)
    asked = ask(waiting, comment_id=None)
    waiting.deliver()
    assert waiting.states("approval") == ["dead"]
    found = approvals.find(asked.id)
    assert found is not None
    assert (found.state, "none that GitHub tells" in found.reason) == ("refused", True)


def test_a_head_that_moved_while_github_was_asked_is_not_built(
    waiting: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    accept_all(github, "c" * 40)
    github.get(PERMISSION, json={"permission": "write"})
    asked = ask(waiting, comment_id=None)
    PullRequest.update(head_sha="c" * 40).execute()
    waiting.deliver()
    found = approvals.find(asked.id)
    assert found is not None
    assert (found.state, Build.select().count()) == (ApprovalState.REFUSED, 0)
    assert "newest commit" in found.reason


def test_an_approval_is_asked_before_all_else(waiting: Desk, github: RequestsMock) -> None:
    accept_all(github)
    github.get(PERMISSION, json={"permission": "read"})
    ask(waiting, comment_id=None)
    waiting.deliver()
    assert sent(github)[0] == ("GET", "/collaborators/maria/permission")


def test_a_closed_pull_request_that_was_never_built_says_so_in_its_comment(
    waiting: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    waiting.deliver()
    waiting.close_pull_request(PullRequest.get())
    waiting.deliver()
    said = bodies(github, "PATCH", "/issues/comments/55")
    assert "it was not built" in said[-1]["body"]


def test_without_credentials_only_people_on_the_dashboard_can_approve(
    settings: Settings, database: Database
) -> None:
    bus = Bus()
    Reporter(settings, enabled=False).subscribe(bus)
    with database.write():
        from bot.models import projects

        project_id = projects.connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        head = projects.Head(SHA, "topic", fork=True)
        projects.move_pull_request(project_id, 7, head, 1)
        asked = approvals.ask(project_id, 7, SHA, actor="maria", source=Source.LABEL)
        bus.publish(events.ApprovalAsked(asked))
    found = approvals.find(asked)
    assert found is not None
    assert (found.state, OutboxEntry.select().count()) == (ApprovalState.REFUSED, 0)
    assert "dashboard" in found.reason
    with database.write():
        assert approvals.approve(project_id, 7, SHA, actor="admin").created


def test_a_managed_users_login_is_asked_for_as_it_is(waiting: Desk, github: RequestsMock) -> None:
    accept_all(github)
    github.get(f"{API}/collaborators/maria_corp/permission", json={"permission": "write"})
    with waiting.database.write():
        asked = approvals.ask(waiting.project_id, 7, SHA, actor="maria_corp", source=Source.LABEL)
        waiting.bus.publish(events.ApprovalAsked(asked))
    waiting.deliver()
    assert Build.select().count() == 1
