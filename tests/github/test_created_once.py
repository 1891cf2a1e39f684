"""What is created at GitHub is created once, whatever gets lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from responses import RequestsMock

from bot.github import messages
from bot.models import outbox
from bot.models.status import BuildStatus
from bot.models.tables import Deployment, OutboxEntry, Project, PullRequest
from tests.github.conftest import API, LOGIN, ROOT, SHA, Desk, accept_all, bodies, sent, written

MARKER = messages.marker("octo/site")
SLOW_DOWN = {"message": "You have exceeded a secondary rate limit"}


@pytest.fixture
def comment(desk: Desk) -> Desk:
    """A pull request's comment waits to be written."""
    desk.open_pull_request()
    desk.told(desk.request(), BuildStatus.READY)
    desk.keep("comment")
    return desk


@pytest.fixture
def deployment(desk: Desk) -> Desk:
    desk.told(desk.request(), BuildStatus.CLONING)
    desk.keep("deployment")
    return desk


def test_a_comment_whose_answer_got_lost_is_found_and_not_written_twice(
    comment: Desk, github: RequestsMock
) -> None:
    github.get(f"{ROOT}/user", json={"login": LOGIN})
    github.get(f"{API}/issues/7/comments", json=[])
    github.post(f"{API}/issues/7/comments", body=requests.ConnectionError("reset"))
    due = comment.deliver()
    assert due is not None
    github.replace("GET", f"{API}/issues/7/comments", json=[written(55, f"{MARKER}\n| old |")])
    github.patch(f"{API}/issues/comments/55", json={"id": 55})
    comment.time = due / 1000
    assert comment.deliver() is None
    assert len(bodies(github, "POST", "/issues/7/comments")) == 1
    assert len(bodies(github, "PATCH", "/issues/comments/55")) == 1
    assert PullRequest.get().comment_id == 55


def test_a_comment_on_the_second_page_is_found(comment: Desk, github: RequestsMock) -> None:
    github.get(f"{ROOT}/user", json={"login": LOGIN})
    url = f"{API}/issues/7/comments"
    others = [written(number, "hello") for number in range(100)]
    # GitHub's own links do not name the port.
    link = {"Link": f'<{url.replace(":443", "")}?per_page=100&page=2>; rel="next"'}
    github.get(url, json=others, headers=link)
    github.get(url, json=[written(155, f"{MARKER}\n| old |")])
    github.patch(f"{API}/issues/comments/155", json={"id": 155})
    comment.deliver()
    assert PullRequest.get().comment_id == 155


@pytest.mark.parametrize(("code", "text"), [(404, "Not Found"), (403, "Must be its author")])
def test_a_comment_that_was_deleted_or_is_anothers_by_now_is_written_anew(
    comment: Desk, github: RequestsMock, code: int, text: str
) -> None:
    PullRequest.update(comment_id=55).execute()
    github.get(f"{ROOT}/user", json={"login": LOGIN})
    github.patch(f"{API}/issues/comments/55", json={"message": text}, status=code)
    github.get(f"{API}/issues/7/comments", json=[])
    github.post(f"{API}/issues/7/comments", json={"id": 56}, status=201)
    comment.deliver()
    assert PullRequest.get().comment_id == 56


def test_a_rate_limit_on_an_edit_is_no_deleted_comment(comment: Desk, github: RequestsMock) -> None:
    PullRequest.update(comment_id=55).execute()
    github.patch(f"{API}/issues/comments/55", json=SLOW_DOWN, status=403)
    comment.deliver()
    assert sent(github) == [("PATCH", "/issues/comments/55")]
    assert comment.states("comment") == ["waiting"]
    assert PullRequest.get().comment_id == 55


def test_a_locked_pull_request_ends_its_comment_and_nothing_else(
    comment: Desk, github: RequestsMock
) -> None:
    github.get(f"{ROOT}/user", json={"login": LOGIN})
    github.get(f"{API}/issues/7/comments", json=[])
    github.post(f"{API}/issues/7/comments", json={"message": "Issue is locked"}, status=403)
    assert comment.deliver() is None
    assert comment.states("comment") == ["dead"]
    assert Project.get().state == "active"


def test_a_sender_that_died_after_githubs_answer_makes_no_second_comment(
    comment: Desk, github: RequestsMock
) -> None:
    accept_all(github)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt  # as abrupt as it gets within one process

    comment.sender._remember_comment = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        comment.deliver()
    del comment.sender._remember_comment
    assert comment.states("comment") == ["sending"]
    assert comment.deliver() is None  # somebody may still hold it
    github.replace("GET", f"{API}/issues/7/comments", json=[written(55, f"{MARKER}\n| old |")])
    comment.time += outbox.LEASE / 1000 + 1
    comment.deliver()
    assert comment.states("comment") == ["sent"]
    assert len(bodies(github, "POST", "/issues/7/comments")) == 1
    assert PullRequest.get().comment_id == 55


def test_a_sender_that_was_too_slow_creates_nothing(comment: Desk, github: RequestsMock) -> None:
    def take_over(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        # While we look for the comment, our lease ends and another takes the entry.
        late = int(comment.time * 1000) + outbox.LEASE + 1
        with comment.database.write():
            assert outbox.claim_due(late) is not None
        return 200, {}, json.dumps([])

    github.get(f"{ROOT}/user", json={"login": LOGIN})
    github.add_callback("GET", f"{API}/issues/7/comments", callback=take_over)
    comment.deliver()
    assert bodies(github, "POST", "/issues/7/comments") == []
    # It is the other's to end.
    assert comment.states("comment") == ["sending"]
    assert OutboxEntry.get().attempts == 2


def test_a_deployment_whose_answer_got_lost_is_not_created_twice(
    deployment: Desk, github: RequestsMock
) -> None:
    github.post(f"{API}/deployments", body=requests.ConnectionError("reset"))
    due = deployment.deliver()
    assert due is not None
    listed = [
        {"id": 70, "payload": "somebody else's"},
        {"id": 77, "payload": {"deploystack": Deployment.get().id}},
    ]
    github.get(f"{API}/deployments", json=listed)
    github.post(f"{API}/deployments/77/statuses", json={"id": 2}, status=201)
    deployment.time = due / 1000
    assert deployment.deliver() is None
    assert sent(github)[1] == (
        "GET",
        f"/deployments?environment=Preview+%E2%80%93+site&per_page=100&sha={SHA}",
    )
    assert len(bodies(github, "POST", "/deployments")) == 1
    assert Deployment.get().remote_id == 77


def test_a_dropped_attempt_is_remembered_by_its_successor(desk: Desk, github: RequestsMock) -> None:
    asked = desk.request()
    desk.told(asked, BuildStatus.CLONING)
    with desk.database.write():  # a sender takes it, and dies after GitHub's answer
        OutboxEntry.update(due_at=0).where(OutboxEntry.kind == "deployment").execute()
        OutboxEntry.delete().where(OutboxEntry.kind != "deployment").execute()
        assert outbox.claim_due(int(desk.time * 1000)) is not None
    desk.told(asked, BuildStatus.READY)
    desk.keep("deployment")
    github.get(
        f"{API}/deployments", json=[{"id": 77, "payload": {"deploystack": asked.deployment_id}}]
    )
    github.post(f"{API}/deployments/77/statuses", json={"id": 2}, status=201)
    desk.time += outbox.LEASE / 1000 + 1
    desk.deliver()
    assert desk.states("deployment") == ["dropped", "sent"]
    assert bodies(github, "POST", "/deployments") == []
    assert bodies(github, "POST", "/deployments/77/statuses")[0]["state"] == "success"


def test_a_deployment_is_created_once_though_its_status_is_refused(
    deployment: Desk, github: RequestsMock
) -> None:
    github.post(f"{API}/deployments", json={"id": 77}, status=201)
    github.post(f"{API}/deployments/77/statuses", json={"message": "oops"}, status=500)
    github.post(f"{API}/deployments/77/statuses", json={"id": 2}, status=201)
    due = deployment.deliver()
    assert due is not None
    deployment.time = due / 1000
    assert deployment.deliver() is None
    assert len(bodies(github, "POST", "/deployments")) == 1
