"""From events to exact requests, and through whatever GitHub answers."""

from __future__ import annotations

import requests
from responses import RequestsMock

from bot import events
from bot.github import messages
from bot.models.status import BuildStatus
from bot.models.tables import Deployment, OutboxEntry, Project, PullRequest
from tests.github.conftest import API, SHA, Desk, bodies

MARKER = messages.marker("octo/site")


def accept_all(github: RequestsMock) -> None:
    github.post(f"{API}/statuses/{SHA}", json={"id": 1}, status=201)
    github.post(f"{API}/deployments", json={"id": 77}, status=201)
    github.post(f"{API}/deployments/77/statuses", json={"id": 2}, status=201)
    github.post(f"{API}/issues/7/comments", json={"id": 55, "body": ""}, status=201)
    github.patch(f"{API}/issues/comments/55", json={"id": 55, "body": ""})


def test_a_build_is_told_from_pending_to_success(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    desk.open_pull_request()
    asked = desk.request()
    desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    desk.deliver()
    desk.finish(asked.build_id, BuildStatus.READY)
    desk.publish(events.BuildCompleted(asked.deployment_id, asked.build_id))
    assert desk.deliver() is None
    log = f"https://p.test/builds/{asked.build_id}"
    pending, success = bodies(github, "POST", f"/statuses/{SHA}")
    assert pending == {
        "state": "pending",
        "target_url": log,
        "description": "Waiting to be built",
        "context": "deploystack",
    }
    assert (success["state"], success["target_url"]) == ("success", f"https://p.test/{SHA}/")
    assert bodies(github, "POST", "/deployments") == [
        {
            "ref": SHA,
            "auto_merge": False,
            "required_contexts": [],
            "environment": "Preview \N{EN DASH} site",
            "transient_environment": True,
            "production_environment": False,
        }
    ]
    queued, live = bodies(github, "POST", "/deployments/77/statuses")
    assert (queued["state"], queued["auto_inactive"]) == ("queued", False)
    assert live["state"] == "success"
    assert live["environment_url"] == f"https://p.test/{SHA}/"
    assert live["auto_inactive"] is False
    assert [b["body"].partition("\n")[0] for b in bodies(github, "POST", "/issues/7/comments")] == [
        MARKER
    ]
    (edited,) = bodies(github, "PATCH", "/issues/comments/55")
    assert "✅ Ready" in edited["body"]
    assert PullRequest.get().comment_id == 55
    assert Deployment.get().remote_id == 77
    assert github.calls[0].request.headers["Authorization"] == "token ghp_x"
    # Nothing but these: no look-ups before a write.
    assert {call.request.method for call in github.calls} == {"POST", "PATCH"}


def test_a_failed_build_edits_the_comment_so_that_no_old_ready_stays(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    pull_request = desk.open_pull_request()
    PullRequest.update(comment_id=55).where(PullRequest.id == pull_request.id).execute()
    asked = desk.request()
    desk.finish(asked.build_id, BuildStatus.FAILED, "npm run build ended with 1")
    desk.publish(events.BuildFailed(asked.deployment_id, asked.build_id))
    desk.deliver()
    (edited,) = bodies(github, "PATCH", "/issues/comments/55")
    assert "❌ The build failed" in edited["body"]
    assert "npm run build ended with 1" in edited["body"]


def test_comment_edits_are_coalesced_into_the_newest(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    desk.open_pull_request()
    asked = desk.request()
    desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    desk.publish(events.BuildStarted(asked.deployment_id, asked.build_id))
    desk.finish(asked.build_id, BuildStatus.READY)
    desk.publish(events.BuildCompleted(asked.deployment_id, asked.build_id))
    desk.deliver()
    (created,) = bodies(github, "POST", "/issues/7/comments")
    assert "✅ Ready" in created["body"]
    assert desk.states("comment") == ["dropped", "dropped", "sent"]
    assert desk.states("status") == ["sent", "sent", "sent"]


def test_the_comment_has_an_off_switch(desk: Desk, github: RequestsMock) -> None:
    from dataclasses import replace

    from bot.events import Bus
    from bot.github.report import Reporter

    desk.bus = Bus()
    Reporter(replace(desk.settings, GITHUB_COMMENTS=False), enabled=True).subscribe(desk.bus)
    desk.open_pull_request()
    asked = desk.request()
    desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    assert desk.states("comment") == []
    assert len(desk.states("status")) == 1


def test_a_comment_whose_answer_got_lost_is_found_again_by_its_marker(
    desk: Desk, github: RequestsMock
) -> None:
    github.post(f"{API}/issues/7/comments", body=requests.ConnectionError("reset"))
    found = [{"id": 1, "body": "mine"}, {"id": 55, "body": f"{MARKER}\n| old |"}]
    github.get(f"{API}/issues/7/comments", json=found)
    github.patch(f"{API}/issues/comments/55", json={"id": 55, "body": ""})
    _only_comment(desk)
    desk.deliver()
    desk.time += 60
    desk.deliver()
    assert len(bodies(github, "POST", "/issues/7/comments")) == 1
    assert len(bodies(github, "PATCH", "/issues/comments/55")) == 1
    assert PullRequest.get().comment_id == 55


def test_a_comment_that_somebody_deleted_is_made_anew(desk: Desk, github: RequestsMock) -> None:
    github.patch(f"{API}/issues/comments/55", json={"message": "Not Found"}, status=404)
    github.post(f"{API}/issues/7/comments", json={"id": 56, "body": ""}, status=201)
    _only_comment(desk)
    PullRequest.update(comment_id=55).execute()
    desk.deliver()
    assert PullRequest.get().comment_id == 56


def _only_comment(desk: Desk) -> None:
    desk.open_pull_request()
    asked = desk.request()
    desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    OutboxEntry.delete().where(OutboxEntry.kind != "comment").execute()


def _only_status(desk: Desk) -> None:
    asked = desk.request()
    desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    OutboxEntry.delete().where(OutboxEntry.kind != "status").execute()


def test_a_server_error_is_retried_with_growing_delays(desk: Desk, github: RequestsMock) -> None:
    for _ in range(2):
        github.post(f"{API}/statuses/{SHA}", json={"message": "oops"}, status=502)
    github.post(f"{API}/statuses/{SHA}", json={"id": 1}, status=201)
    _only_status(desk)
    waits = []
    for _ in range(2):
        due = desk.deliver()
        assert due is not None
        waits.append(due / 1000 - desk.time)
        desk.time = due / 1000
    assert desk.deliver() is None
    assert 1.5 < waits[0] < 2.5
    assert 3 < waits[1] < 5
    assert desk.states("status") == ["sent"]


def test_a_retried_status_that_a_newer_one_replaced_is_dropped(
    desk: Desk, github: RequestsMock
) -> None:
    github.post(f"{API}/statuses/{SHA}", body=requests.Timeout("slow"))
    github.post(f"{API}/statuses/{SHA}", json={"id": 1}, status=201)
    _only_status(desk)
    desk.deliver()
    build_id = desk.request().build_id
    desk.finish(build_id, BuildStatus.READY)
    desk.publish(events.BuildCompleted(Deployment.get().id, build_id))
    OutboxEntry.delete().where(OutboxEntry.kind != "status").execute()
    desk.deliver()  # the newer must not overtake the older, which is not due yet
    assert desk.states("status") == ["waiting", "waiting"]
    desk.time += 10
    desk.deliver()
    assert desk.states("status") == ["dropped", "sent"]
    assert bodies(github, "POST", f"/statuses/{SHA}")[-1]["state"] == "success"


def test_a_rate_limit_silences_everything_for_as_long_as_github_says(
    desk: Desk, github: RequestsMock
) -> None:
    headers = {"Retry-After": "120"}
    github.post(f"{API}/statuses/{SHA}", json={"message": "slow"}, status=403, headers=headers)
    github.post(f"{API}/statuses/{SHA}", json={"id": 1}, status=201)
    _only_status(desk)
    due = desk.deliver()
    assert due == int((desk.time + 120) * 1000)
    desk.time += 119
    assert desk.deliver() == due
    assert len(github.calls) == 1
    desk.time += 1.5
    assert desk.deliver() is None
    assert desk.states("status") == ["sent"]


def test_a_repository_that_is_gone_ends_the_entry_and_shows_in_the_project(
    desk: Desk, github: RequestsMock
) -> None:
    github.post(f"{API}/statuses/{SHA}", json={"message": "Not Found"}, status=404)
    _only_status(desk)
    assert desk.deliver() is None
    entry = OutboxEntry.get()
    assert (entry.state, "Not Found" in entry.last_error) == ("dead", True)
    assert Project.get().state == "unreachable"


def test_after_hours_in_vain_an_entry_is_given_up(desk: Desk, github: RequestsMock) -> None:
    github.post(f"{API}/statuses/{SHA}", body=requests.ConnectionError("no route"))
    _only_status(desk)
    due: int | None = int(desk.time * 1000)
    while due is not None:
        desk.time = due / 1000
        due = desk.deliver()
    assert desk.states("status") == ["dead"]
    assert 6 * 3600 <= desk.time - OutboxEntry.get().created_at / 1000


def test_an_entry_whose_sender_died_is_taken_up_by_another(
    desk: Desk, github: RequestsMock
) -> None:
    from bot.models import outbox

    accept_all(github)
    _only_status(desk)
    with desk.database.write():
        assert outbox.claim_due(int(desk.time * 1000)) is not None
    desk.deliver()
    assert desk.states("status") == ["sending"]
    desk.time += outbox.LEASE / 1000 + 1
    desk.deliver()
    assert desk.states("status") == ["sent"]


def test_a_deployment_whose_answer_got_lost_is_not_created_twice(
    desk: Desk, github: RequestsMock
) -> None:
    github.post(f"{API}/deployments", body=requests.ConnectionError("reset"))
    github.get(f"{API}/deployments", json=[{"id": 77}])
    github.post(f"{API}/deployments/77/statuses", json={"id": 2}, status=201)
    asked = desk.request()
    desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    OutboxEntry.delete().where(OutboxEntry.kind != "deployment").execute()
    desk.deliver()
    desk.time += 60
    desk.deliver()
    assert len(bodies(github, "POST", "/deployments")) == 1
    assert Deployment.get().remote_id == 77
    assert desk.states("deployment") == ["sent"]


def test_a_closed_pull_request_makes_its_deployments_inactive(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    pull_request = desk.open_pull_request()
    asked = desk.request()
    desk.finish(asked.build_id, BuildStatus.READY)
    desk.publish(events.BuildCompleted(asked.deployment_id, asked.build_id))
    desk.deliver()
    PullRequest.update(open=False).execute()
    desk.publish(events.PullRequestClosed(pull_request.id))
    desk.deliver()
    last = bodies(github, "POST", "/deployments/77/statuses")[-1]
    assert (last["state"], last["auto_inactive"]) == ("inactive", False)
    assert "closed" in bodies(github, "PATCH", "/issues/comments/55")[-1]["body"]


def test_repositories_of_this_machine_are_never_reported(desk: Desk) -> None:
    Project.update(name="_local/demo").execute()
    asked = desk.request()
    desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    assert OutboxEntry.select().count() == 0


def test_without_credentials_the_line_goes_to_the_log(desk: Desk, caplog: object) -> None:
    import logging

    import pytest

    from bot.events import Bus
    from bot.github.report import Reporter

    assert isinstance(caplog, pytest.LogCaptureFixture)
    desk.bus = Bus()
    Reporter(desk.settings, enabled=False).subscribe(desk.bus)
    asked = desk.request()
    with caplog.at_level(logging.INFO, "bot.github.report"):
        desk.publish(events.DeploymentCreated(asked.deployment_id, asked.build_id))
    assert OutboxEntry.select().count() == 0
    assert "octo/site bbbbbbbbbbbb: Waiting to be built" in caplog.text
