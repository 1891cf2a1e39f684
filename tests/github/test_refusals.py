"""What GitHub refuses for good shows in the project, and passes when it takes something again."""

from __future__ import annotations

import pytest
from responses import RequestsMock

from bot.github.refusals import state_of
from bot.models.tables import OutboxEntry, Project
from bot.project_states import ProjectState
from tests.github.conftest import API, SHA, Desk

ARCHIVED = "Repository was archived so is read-only."
SUSPENDED = "This installation has been suspended"
REFUSED = "Resource not accessible by integration"


@pytest.mark.parametrize(
    ("status", "headers", "message", "gone", "expected"),
    [
        (403, {}, ARCHIVED, False, ProjectState.ARCHIVED),
        (403, {}, SUSPENDED, False, ProjectState.SUSPENDED),
        (403, {}, REFUSED, False, ProjectState.FORBIDDEN),
        (403, {"Retry-After": "60"}, REFUSED, False, None),
        (403, {"X-RateLimit-Remaining": "0"}, "API rate limit exceeded", False, None),
        (404, {}, "Not Found", True, ProjectState.REMOVED),
        (404, {}, "Not Found", False, None),
        (410, {}, "Gone", False, None),
        (422, {}, "Validation Failed", False, None),
    ],
)
def test_refusals_say_what_state_a_project_is_in(
    status: int, headers: dict[str, str], message: str, gone: bool, expected: ProjectState | None
) -> None:
    assert state_of(status, headers, message, gone=gone) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [(ARCHIVED, "archived"), (SUSPENDED, "suspended"), (REFUSED, "forbidden")],
)
def test_a_refused_status_is_a_state_that_passes_when_one_is_taken(
    desk: Desk, github: RequestsMock, message: str, expected: str
) -> None:
    github.post(f"{API}/statuses/{SHA}", json={"message": message}, status=403)
    github.get(API, json={"full_name": "octo/site"})
    desk.told(desk.request())
    desk.keep("status")
    desk.deliver()
    project = Project.get()
    assert (project.state, project.state_note) == (expected, message)
    assert OutboxEntry.get().state == "dead"
    github.reset()
    github.post(f"{API}/statuses/{SHA}", json={"id": 1}, status=201)
    OutboxEntry.update(state="waiting", attempts=0).execute()
    desk.deliver()
    project = Project.get()
    assert (project.state, project.state_note) == ("active", "")


def test_comments_that_are_refused_alone_leave_the_project_as_it_is(
    desk: Desk, github: RequestsMock
) -> None:
    desk.open_pull_request(comment_id=55)
    desk.told(desk.request())
    desk.keep("comment")
    github.get(f"{API}/issues/7/comments", json={"message": REFUSED}, status=403)
    github.patch(f"{API}/issues/comments/55", json={"message": REFUSED}, status=403)
    github.get("https://api.github.com:443/user", json={"login": "ship-bot"})
    desk.deliver_later()
    assert OutboxEntry.get().state == "dead"
    assert Project.get().state == "active"


def test_a_renaming_that_was_missed_is_noticed_when_something_is_told(
    desk: Desk, github: RequestsMock
) -> None:
    github.post(f"{API}/statuses/{SHA}", json={"message": "Moved Permanently"}, status=307)
    github.get(API, json={"full_name": "octo/page"})
    new = API.replace("octo/site", "octo/page")
    github.post(f"{new}/statuses/{SHA}", json={"id": 1}, status=201)
    desk.told(desk.request())
    desk.keep("status")
    desk.deliver()
    assert OutboxEntry.get().state == "sent"
    assert Project.get().name == "octo/page"
