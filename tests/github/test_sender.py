"""The outbox's sender, through whatever GitHub and the network answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from responses import RequestsMock

from bot.github import limits
from bot.models.status import BuildStatus
from bot.models.tables import OutboxEntry, Project
from tests.github.conftest import API, ROOT, SHA, Desk, accept_all, bodies, sent

STATUS = f"{API}/statuses/{SHA}"


@pytest.fixture
def status(desk: Desk) -> Desk:
    """A commit's `pending` waits to be told."""
    desk.told(desk.request())
    desk.keep("status")
    return desk


def test_a_server_error_is_retried_with_growing_delays(status: Desk, github: RequestsMock) -> None:
    for _ in range(3):
        github.post(STATUS, json={"message": "oops"}, status=502)
    github.post(STATUS, json={"id": 1}, status=201)
    waits = []
    for _ in range(3):
        due = status.deliver()
        assert due is not None
        waits.append(due / 1000 - status.time)
        status.time = due / 1000
    assert status.deliver() is None
    for waited, expected in zip(waits, (2, 4, 8), strict=True):
        assert 0.75 * expected < waited < 1.25 * expected
    assert status.states("status") == ["sent"]


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("no route"), requests.Timeout("slow")], ids=str
)
def test_a_network_error_is_retried(status: Desk, github: RequestsMock, error: Exception) -> None:
    github.post(STATUS, body=error)
    github.post(STATUS, json={"id": 1}, status=201)
    due = status.deliver()
    assert due is not None
    assert str(error) in OutboxEntry.get().last_error
    status.time = due / 1000
    assert status.deliver() is None
    assert status.states("status") == ["sent"]


def test_after_hours_in_vain_an_entry_is_given_up(status: Desk, github: RequestsMock) -> None:
    github.post(STATUS, body=requests.ConnectionError("no route"))
    due: int | None = int(status.time * 1000)
    while due is not None:
        status.time = due / 1000
        due = status.deliver()
    entry = OutboxEntry.get()
    assert (entry.state, "no route" in entry.last_error) == ("dead", True)
    assert 5.5 * 3600 < status.time - entry.created_at / 1000 <= 6 * 3600
    assert len(github.calls) < 60


@pytest.mark.parametrize("code", [400, 403, 404, 410, 422])
def test_what_github_refuses_for_good_ends_with_the_reason(
    status: Desk, github: RequestsMock, code: int
) -> None:
    github.post(STATUS, json={"message": "No way"}, status=code)
    github.get(API, json={"id": 1, "full_name": "octo/site"})
    assert status.deliver() is None
    entry = OutboxEntry.get()
    assert (entry.state, "No way" in entry.last_error) == ("dead", True)
    # The repository can be seen: it was the token that lacked a permission.
    assert Project.get().state == ("forbidden" if code == 403 else "active")


def test_an_expired_token_loses_nothing_until_it_is_renewed(
    status: Desk, github: RequestsMock
) -> None:
    github.post(STATUS, json={"message": "Bad credentials"}, status=401)
    github.post(STATUS, json={"id": 1}, status=201)
    due = status.deliver()
    assert due is not None
    assert due / 1000 - status.time == pytest.approx(300, abs=2)
    status.time = due / 1000 + 1
    assert status.deliver() is None
    assert OutboxEntry.get().state == "sent"


@pytest.mark.parametrize("code", [404, 410, 451])
def test_a_repository_that_is_gone_shows_in_the_project(
    status: Desk, github: RequestsMock, code: int
) -> None:
    github.post(STATUS, json={"message": "Not Found"}, status=404)
    github.get(API, json={"message": "Gone"}, status=code)
    assert status.deliver() is None
    assert Project.get().state == "removed"


def test_one_refused_entry_holds_up_no_other_commit(desk: Desk, github: RequestsMock) -> None:
    for sha in (SHA, "c" * 40):
        desk.told(desk.request(sha=sha, ref=sha[0]))
    desk.keep("status")
    github.post(STATUS, body=requests.Timeout("slow"))
    github.post(f"{API}/statuses/{'c' * 40}", json={"id": 1}, status=201)
    desk.deliver()
    assert desk.states("status") == ["waiting", "sent"]


def test_a_success_is_never_overtaken_by_its_pending(desk: Desk, github: RequestsMock) -> None:
    github.post(STATUS, body=requests.Timeout("slow"))
    github.post(STATUS, json={"id": 1}, status=201)
    asked = desk.request()
    desk.told(asked)
    desk.deliver()
    desk.told(asked, BuildStatus.READY)
    desk.keep("status")
    due = desk.deliver()  # the newer must not overtake the older, which is not due yet
    assert desk.states("status") == ["waiting", "waiting"]
    # The next look is when the older is due, not at once and for ever.
    assert due == OutboxEntry.select().order_by(OutboxEntry.id).get().due_at
    desk.time = due / 1000
    assert desk.deliver() is None
    # Sending had failed, and the newer says all.
    assert desk.states("status") == ["dropped", "sent"]
    assert [body["state"] for body in bodies(github, "POST", f"/statuses/{SHA}")] == [
        "pending",
        "success",
    ]


def test_states_of_a_commit_are_told_one_by_one_while_they_are_news(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    asked = desk.request()
    desk.told(asked)
    desk.told(asked, BuildStatus.READY)
    desk.keep("status")
    desk.deliver()
    assert desk.states("status") == ["sent", "sent"]


def test_of_old_news_only_the_newest_is_told(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    asked = desk.request()
    desk.told(asked)
    desk.told(asked, BuildStatus.READY)
    desk.keep("status")
    desk.deliver_later(60)
    assert desk.states("status") == ["dropped", "sent"]


SLOW_DOWN = {"message": "You have exceeded a secondary rate limit"}
REFUSALS: list[tuple[int, dict[str, str], Callable[[float], float]]] = [
    (403, {"Retry-After": "120"}, lambda time: time + 120),
    (429, {"Retry-After": "90"}, lambda time: time + 90),
    (429, {}, lambda time: time + 60),
    (403, {}, lambda time: time + 60),
    (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4000000000"}, lambda _: 4e9),
]


@pytest.mark.parametrize(("code", "headers", "until"), REFUSALS, ids=str)
def test_a_rate_limit_silences_everything_for_as_long_as_github_says(
    status: Desk,
    github: RequestsMock,
    code: int,
    headers: dict[str, str],
    until: Callable[[float], float],
) -> None:
    status.time = min(status.time, 3_999_999_000.0)
    if "X-RateLimit-Reset" in headers:
        status.time = 3_999_999_000.0  # a thousand seconds before the reset
        OutboxEntry.update(created_at=int(status.time * 1000)).execute()
    expected = until(status.time)
    github.post(STATUS, json=SLOW_DOWN, status=code, headers=headers)
    github.post(STATUS, json={"id": 1}, status=201)
    due = status.deliver()
    assert due is not None
    assert abs(due / 1000 - expected) < 0.01
    # Something else comes up: it must wait too, whatever it is.
    status.told(status.request(sha="c" * 40, ref="other"))
    status.keep("status")
    OutboxEntry.update(due_at=0).where(OutboxEntry.due_at < due).execute()
    status.time = expected - 1
    assert status.deliver() == due
    assert len(github.calls) == 1
    github.post(f"{API}/statuses/{'c' * 40}", json={"id": 1}, status=201)
    status.time = expected + 0.1
    assert status.deliver() is None
    assert status.states("status") == ["sent", "sent"]
    # Waiting for a limit is no attempt.
    assert [entry.attempts for entry in OutboxEntry.select().order_by(OutboxEntry.id)] == [2, 1]


def test_when_the_last_request_of_the_hour_is_spent_the_next_waits_for_the_reset(
    desk: Desk, github: RequestsMock
) -> None:
    reset = int(desk.time) + 1800
    spent = {
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(reset),
    }
    github.post(STATUS, json={"id": 1}, status=201, headers=spent)
    for sha in (SHA, "c" * 40):
        desk.told(desk.request(sha=sha, ref=sha[0]))
    desk.keep("status")
    assert desk.deliver() == reset * 1000
    assert len(github.calls) == 1


def test_no_minute_sees_more_writes_than_github_allows(desk: Desk, github: RequestsMock) -> None:
    shas = [f"{number:040x}" for number in range(1, 101)]
    for sha in shas:
        github.post(f"{API}/statuses/{sha}", json={"id": 1}, status=201)
        desk.told(desk.request(sha=sha, ref=sha))
    desk.keep("status")
    start = desk.time
    due = desk.deliver()
    most = limits.ALLOWED["status"][0]
    assert desk.states("status").count("sent") == most
    assert due is not None
    assert abs(due / 1000 - (start + 60)) < 0.01
    desk.time = due / 1000
    assert desk.deliver() is None
    assert desk.states("status").count("sent") == 100


def test_what_was_sent_before_a_restart_counts(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    desk.open_pull_request(comment_id=55)
    desk.told(desk.request(), BuildStatus.READY)
    desk.keep("comment")
    time = int(desk.time * 1000)
    for number in range(limits.ALLOWED["comment"][0]):
        OutboxEntry.create(
            project=desk.project_id,
            kind="status",
            key=f"earlier:{number}",
            payload="{}",
            state="sent",
            due_at=time - 30_000,
            created_at=time,
        )
    assert desk.deliver() == time + 30_000
    assert len(github.calls) == 0
    desk.time += 31
    desk.deliver()
    assert desk.states("comment") == ["sent"]


def test_statuses_go_first(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    desk.open_pull_request(comment_id=55)
    desk.told(desk.request(), BuildStatus.READY)
    OutboxEntry.update(due_at=0).where(OutboxEntry.kind != "status").execute()
    desk.deliver()
    assert [path for _, path in sent(github)] == [
        f"/statuses/{SHA}",
        "/issues/comments/55",
        "/deployments",
        "/deployments/77/statuses",
    ]


def test_a_renamed_repository_is_told_under_its_new_name(
    status: Desk, github: RequestsMock
) -> None:
    moved = {"message": "Moved Permanently", "url": f"{ROOT}/repositories/9/statuses/{SHA}"}
    github.post(STATUS, json=moved, status=307)
    github.get(API, status=301, headers={"Location": f"{ROOT}/repositories/9"})
    github.get(f"{ROOT}/repositories/9", json={"id": 9, "full_name": "octo/new"})
    github.post(f"{ROOT}/repos/octo/new/statuses/{SHA}", json={"id": 1}, status=201)
    assert status.deliver() is None
    assert status.states("status") == ["sent"]


def test_an_unexpected_failure_is_logged_and_retried(
    status: Desk, github: RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    github.post(STATUS, body="<html>not JSON", status=200)
    github.get(API, body="<html>not JSON", status=200)
    assert status.deliver() is not None
    assert "cannot be sent" in caplog.text
    assert status.states("status") == ["waiting"]


def test_no_transaction_is_open_while_github_is_asked(status: Desk, github: RequestsMock) -> None:
    open_transactions = []

    def look(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        open_transactions.append(OutboxEntry._meta.database.in_transaction())
        return 201, {}, '{"id": 1}'

    github.add_callback("POST", STATUS, callback=look)
    status.deliver()
    assert open_transactions == [False]
