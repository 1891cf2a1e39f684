"""From what happened to the exact requests that GitHub gets."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from responses import RequestsMock

from bot import events
from bot.events import Bus
from bot.github import messages
from bot.github.report import Reporter
from bot.models import deployments
from bot.models.status import BuildStatus
from bot.models.tables import Build, Deployment, OutboxEntry, Project, PullRequest
from tests.github.conftest import API, ROOT, SHA, Desk, accept_all, bodies, sent, written

MARKER = messages.marker("octo/site")
PREVIEW = "Preview \N{EN DASH} site"


def test_a_build_is_told_from_pending_to_success(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    desk.open_pull_request()
    asked = desk.request()
    log = f"https://p.test/builds/{asked.build_id}"
    page = f"https://p.test/{SHA}/"
    desk.told(asked)
    desk.deliver_later()
    desk.told(asked, BuildStatus.CLONING)
    desk.deliver_later()
    desk.told(asked, BuildStatus.READY)
    assert desk.deliver_later() is None
    waiting, building, success = bodies(github, "POST", f"/statuses/{SHA}")
    assert waiting == {
        "state": "pending",
        "target_url": log,
        "description": "Waiting to be built",
        "context": "deploystack",
    }
    assert building == waiting | {"description": "Building"}
    assert success == {
        "state": "success",
        "target_url": page,
        "description": success["description"],
        "context": "deploystack",
    }
    assert success["description"].startswith("Ready in ")
    assert bodies(github, "POST", "/deployments") == [
        {
            "ref": SHA,
            "environment": PREVIEW,
            "auto_merge": False,
            "required_contexts": [],
            "transient_environment": True,
            "production_environment": False,
            "payload": {"deploystack": asked.deployment_id},
            "description": "DeployStack",
        }
    ]
    in_progress, live = bodies(github, "POST", "/deployments/77/statuses")
    assert in_progress == {
        "state": "in_progress",
        "log_url": log,
        "description": "Building",
        "auto_inactive": False,
    }
    assert live == {
        "state": "success",
        "log_url": log,
        "description": success["description"],
        "auto_inactive": False,
        "environment_url": page,
    }
    (created,) = bodies(github, "POST", "/issues/7/comments")
    *_, ready = bodies(github, "PATCH", "/issues/comments/55")
    assert created["body"].startswith(f"{MARKER}\n")
    assert "Waiting to be built" in created["body"]
    assert f"✅ Ready ([log]({log})) | [Open]({page})" in ready["body"]
    assert PullRequest.get().comment_id == 55
    assert Deployment.get().remote_id == 77
    assert {call.request.headers["Authorization"] for call in github.calls} == {"token ghp_x"}


def test_no_request_is_made_that_is_not_needed(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    desk.open_pull_request()
    asked = desk.request()
    desk.told(asked)
    desk.told(asked, BuildStatus.CLONING)
    desk.told(asked, BuildStatus.READY)
    desk.deliver()
    assert sent(github) == [
        ("POST", f"/statuses/{SHA}"),  # building
        ("POST", f"/statuses/{SHA}"),  # ready
        ("GET", "/user"),  # once in a sender's life
        ("GET", "/issues/7/comments?per_page=100"),
        ("POST", "/issues/7/comments"),
        ("POST", "/deployments"),
        ("POST", "/deployments/77/statuses"),
    ]
    assert desk.states("status") == ["dropped", "sent", "sent"]


def test_a_commit_of_the_production_branch_is_deployed_to_production(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    asked = desk.request(environment="production")
    desk.told(asked, BuildStatus.READY)
    desk.deliver()
    (created,) = bodies(github, "POST", "/deployments")
    assert (created["environment"], created["production_environment"]) == ("Production", True)
    assert created["transient_environment"] is False


@pytest.mark.parametrize(
    ("status", "commit", "deployment", "sign"),
    [
        (BuildStatus.FAILED, "failure", "failure", "❌ The build failed"),
        (BuildStatus.ERRORED, "error", "error", "⚠️ Something failed on our side"),
        (BuildStatus.TIMED_OUT, "failure", "failure", "❌ The build took too long"),
        (BuildStatus.CANCELLED, "error", "error", "🚫 Cancelled"),
    ],
)
def test_an_ended_build_leaves_no_old_ready_anywhere(
    desk: Desk,
    github: RequestsMock,
    status: BuildStatus,
    commit: str,
    deployment: str,
    sign: str,
) -> None:
    accept_all(github)
    desk.open_pull_request(comment_id=55)
    asked = desk.request()
    desk.told(asked, status, "npm run build ended with 1")
    desk.deliver()
    (said,) = bodies(github, "POST", f"/statuses/{SHA}")
    assert (said["state"], said["target_url"]) == (
        commit,
        f"https://p.test/builds/{asked.build_id}",
    )
    assert "npm run build ended with 1" in said["description"]
    assert bodies(github, "POST", "/deployments/77/statuses")[0]["state"] == deployment
    (edited,) = bodies(github, "PATCH", "/issues/comments/55")
    assert sign in edited["body"]
    assert "npm run build ended with 1" in edited["body"]
    assert "Ready" not in edited["body"]


def test_a_superseded_commit_ends_neither_red_nor_pending(desk: Desk, github: RequestsMock) -> None:
    accept_all(github)
    asked = desk.request()
    desk.told(asked)
    desk.deliver()
    with desk.database.write():
        ((deployment_id, build_id),) = deployments.supersede(desk.project_id, "topic", SHA)
    desk.publish(events.BuildFailed(deployment_id, build_id))
    desk.deliver()
    assert [b["state"] for b in bodies(github, "POST", f"/statuses/{SHA}")] == [
        "pending",
        "success",
    ]
    assert bodies(github, "POST", f"/statuses/{SHA}")[-1]["description"] == (
        "Superseded by a newer commit"
    )
    # GitHub never heard of the deployment, so it need not hear of its end.
    assert bodies(github, "POST", "/deployments") == []


def test_a_skipped_commit_gets_a_status_that_nobody_waits_for(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    desk.publish(events.CommitSkipped(desk.project_id, SHA))
    desk.deliver()
    (body,) = bodies(github, "POST", f"/statuses/{SHA}")
    assert (body["state"], body["context"]) == ("success", "deploystack")
    assert body["description"] == "Skipped: the commit message asks for no deployment"


def test_the_last_lines_of_a_failed_builds_log_are_in_its_comment(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    desk.open_pull_request()
    asked = desk.request()
    log = desk.settings.DATA_DIR / "logs/it.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"12:00:00.000 | line {number}\n" for number in range(500)))
    desk.finish(asked.build_id, BuildStatus.FAILED, "npm run build ended with 1")
    Build.update(logs="logs/it.log").execute()
    desk.publish(events.BuildFailed(asked.deployment_id, asked.build_id))
    desk.deliver()
    text = bodies(github, "POST", "/issues/7/comments")[-1]["body"]
    assert "line 499" in text
    assert "line 480" in text
    assert "line 479" not in text
    Build.update(status=BuildStatus.READY).execute()
    desk.publish(events.BuildCompleted(asked.deployment_id, asked.build_id))
    newest = OutboxEntry.select().where(OutboxEntry.kind == "comment").order_by(OutboxEntry.id)[-1]
    assert "Ready" in newest.payload
    assert "line 499" not in newest.payload


def test_each_open_pull_request_of_a_commit_gets_its_comment(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    github.patch(f"{API}/issues/comments/88", json={"id": 88})
    desk.open_pull_request(comment_id=55)
    desk.open_pull_request(number=8, comment_id=88)
    desk.told(desk.request(), BuildStatus.READY)
    desk.deliver()
    assert len(bodies(github, "PATCH", "/issues/comments/55")) == 1
    assert len(bodies(github, "PATCH", "/issues/comments/88")) == 1


def test_a_comment_on_work_under_way_waits_a_moment_and_the_outcome_does_not(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    desk.open_pull_request()
    asked = desk.request()
    desk.told(asked)
    desk.told(asked, BuildStatus.CLONING)
    desk.deliver()
    assert desk.states("comment") == ["waiting"]
    desk.told(asked, BuildStatus.READY)
    desk.deliver()
    (created,) = bodies(github, "POST", "/issues/7/comments")
    assert "✅ Ready" in created["body"]
    assert desk.states("comment") == ["sent"]


def test_the_comment_has_an_off_switch(desk: Desk) -> None:
    desk.bus = Bus()
    Reporter(replace(desk.settings, GITHUB_COMMENTS=False), enabled=True).subscribe(desk.bus)
    pull_request = desk.open_pull_request()
    desk.told(desk.request(), BuildStatus.READY)
    desk.close_pull_request(pull_request)
    assert desk.states("comment") == []
    assert desk.states("status") == ["waiting"]


def test_a_closed_pull_request_makes_its_previews_inactive(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    pull_request = desk.open_pull_request()
    desk.told(desk.request(), BuildStatus.READY)
    desk.deliver()
    desk.close_pull_request(pull_request)
    desk.deliver()
    assert bodies(github, "POST", "/deployments/77/statuses")[-1] == {
        "state": "inactive",
        "description": "Pull request 7 is closed",
        "auto_inactive": False,
    }
    assert "is closed" in bodies(github, "PATCH", "/issues/comments/55")[-1]["body"]


def test_earlier_commits_of_a_closed_pull_request_become_inactive_too(desk: Desk) -> None:
    older = desk.request(sha="a" * 40)
    newest = desk.request()
    pull_request = desk.open_pull_request()
    desk.close_pull_request(pull_request)
    keys = {entry.key for entry in OutboxEntry.select() if entry.kind == "deployment"}
    assert keys == {
        f"deployment:{older.deployment_id}:preview",
        f"deployment:{newest.deployment_id}:preview",
    }


@pytest.mark.parametrize("other", [{"sha": SHA, "ref": "other"}, {"sha": "a" * 40}])
def test_what_another_open_pull_request_shows_stays_active(
    desk: Desk, other: dict[str, str]
) -> None:
    desk.request(sha="a" * 40)
    desk.request()
    pull_request = desk.open_pull_request()
    desk.open_pull_request(number=8, **other)
    desk.close_pull_request(pull_request)
    shown = Deployment.get(Deployment.sha == other["sha"])
    keys = {entry.key for entry in OutboxEntry.select() if entry.kind == "deployment"}
    assert f"deployment:{shown.id}:preview" not in keys


def test_closing_a_forks_pull_request_leaves_our_branch_of_that_name_alone(desk: Desk) -> None:
    desk.request(sha="a" * 40, ref="topic")
    pull_request = desk.open_pull_request(sha="f" * 40, ref="topic")
    PullRequest.update(fork=True).execute()
    desk.close_pull_request(pull_request)
    assert desk.states("deployment") == []


def test_a_preview_that_got_into_production_is_ended_as_a_preview_alone(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    pull_request = desk.open_pull_request(comment_id=55)
    asked = desk.request()
    desk.told(asked, BuildStatus.READY)
    desk.deliver()
    promoted = desk.request(ref="main", environment="production")
    assert promoted.ready
    github.post(f"{API}/deployments", json={"id": 78}, status=201)
    github.post(f"{API}/deployments/78/statuses", json={"id": 3}, status=201)
    desk.publish(events.BuildCompleted(promoted.deployment_id, promoted.build_id))
    desk.deliver()
    assert Deployment.get().remote_id == 78
    payload = {"deploystack": asked.deployment_id}
    listed = [
        {"id": 70, "payload": ""},
        {"id": 71, "payload": {"deploystack": "another"}},
        {"id": 77, "payload": payload},
    ]
    github.get(f"{API}/deployments", json=listed)
    desk.close_pull_request(pull_request)
    desk.deliver()
    assert [b["state"] for b in bodies(github, "POST", "/deployments/77/statuses")] == [
        "success",
        "inactive",
    ]
    assert [b["state"] for b in bodies(github, "POST", "/deployments/78/statuses")] == ["success"]
    assert Deployment.get().remote_id == 78


def test_a_build_that_ends_after_its_pull_request_was_closed_edits_the_comment_only(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    pull_request = desk.open_pull_request(comment_id=55)
    desk.open_pull_request(number=8)
    github.get(f"{API}/issues/8/comments", json=[])
    asked = desk.request()
    desk.told(asked, BuildStatus.CLONING)
    for closed in PullRequest.select():
        desk.close_pull_request(closed)
    desk.told(asked, BuildStatus.READY)
    desk.deliver_later()
    (edited,) = bodies(github, "PATCH", "/issues/comments/55")
    assert "✅ Ready" in edited["body"]
    assert "is closed" in edited["body"]
    # Number 8 never had one, and gets none any more.
    assert bodies(github, "POST", "/issues/8/comments") == []
    assert PullRequest.get_by_id(pull_request.id).comment_id == 55


def test_a_comment_that_an_earlier_installation_wrote_is_taken_over(
    desk: Desk, github: RequestsMock
) -> None:
    github.get(f"{ROOT}/user", json={"login": "Ship-Bot"})
    listed = [
        written(1, f"{MARKER}\nnot ours", login="stranger"),
        written(2, f"> {MARKER}\nI quote it"),
        {"id": 3, "body": None, "user": None},
        written(55, f"{MARKER}\n| old |"),
    ]
    github.get(f"{API}/issues/7/comments", json=listed)
    github.patch(f"{API}/issues/comments/55", json={"id": 55})
    desk.open_pull_request()
    desk.told(desk.request(), BuildStatus.READY)
    desk.keep("comment")
    desk.deliver()
    assert PullRequest.get().comment_id == 55
    assert bodies(github, "POST", "/issues/7/comments") == []


def test_an_upload_has_no_commit_to_tell_of(desk: Desk) -> None:
    asked = desk.request()
    Deployment.update(sha=None).execute()
    desk.told(asked)
    assert OutboxEntry.select().count() == 0


def test_repositories_of_this_machine_are_never_reported(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    Project.update(name="_local/demo").execute()
    pull_request = desk.open_pull_request()
    with caplog.at_level(logging.INFO, "bot.github.report"):
        desk.told(desk.request())
        desk.close_pull_request(pull_request)
    assert OutboxEntry.select().count() == 0
    assert "_local/demo bbbbbbbbbbbb: Waiting to be built" in caplog.text


def test_without_credentials_the_line_goes_to_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.bus = Bus()
    Reporter(desk.settings, enabled=False).subscribe(desk.bus)
    with caplog.at_level(logging.INFO, "bot.github.report"):
        desk.told(desk.request())
    assert OutboxEntry.select().count() == 0
    assert "octo/site bbbbbbbbbbbb: Waiting to be built" in caplog.text


def test_what_is_told_is_undone_with_what_happened(desk: Desk) -> None:
    class Broken(Exception):
        pass

    def happen() -> None:
        with desk.database.write():
            desk.told(desk.request())
            raise Broken

    with pytest.raises(Broken):
        happen()
    assert OutboxEntry.select().count() == 0


def test_a_build_that_ends_after_its_pull_request_was_closed_stays_inactive(
    desk: Desk, github: RequestsMock
) -> None:
    accept_all(github)
    pull_request = desk.open_pull_request()
    asked = desk.request()
    desk.told(asked, BuildStatus.CLONING)
    desk.deliver_later()
    PullRequest.update(open=False).execute()
    desk.publish(events.PullRequestClosed(pull_request.id))
    desk.deliver_later()
    desk.told(asked, BuildStatus.READY)
    desk.deliver_later()
    assert bodies(github, "POST", "/deployments/77/statuses")[-1]["state"] == "inactive"
