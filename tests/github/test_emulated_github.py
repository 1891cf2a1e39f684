"""Against a GitHub that keeps state, and that we did not write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.events import BuildCompleted
from bot.github import messages
from bot.github.client import client_from
from bot.github.connect import EVENTS, connect_repository
from bot.models import deployments
from bot.models.database import Database
from bot.models.status import BuildStatus
from bot.models.tables import Build, PullRequest
from bot.settings import Settings
from bot.webhooks import events
from bot.webhooks.signature import verify_signature
from tests.github import emulated
from tests.github.conftest import Desk
from tests.github.emulated import BOT, REPOSITORY, GitHub, Hook

MARKER = messages.marker(REPOSITORY)


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    folder: Path = tmp_path_factory.mktemp("emulated")
    with emulated.running(folder) as started:
        yield started


@pytest.fixture
def hook() -> Iterator[Hook]:
    with emulated.listening() as started:
        yield started


@pytest.fixture
def as_token(make_settings: Callable[..., Settings], github: GitHub) -> Settings:
    return make_settings(GITHUB_TOKEN="bot", GITHUB_API_URL=github.url, PUBLIC_URL="https://p.test")


def test_a_pull_request_gets_one_comment_that_is_edited_found_again_and_written_anew(
    as_token: Settings, database: Database, github: GitHub
) -> None:
    opened = github.open_pull_request("topic")
    number, sha = opened["number"], opened["head"]["sha"]
    client = client_from(as_token)
    assert client is not None
    desk = Desk(as_token, database, client, REPOSITORY)
    desk.open_pull_request(sha=sha, number=number)
    asked = desk.request(sha=sha)

    desk.told(asked)
    desk.keep("comment")
    assert desk.deliver_later() is None
    (comment,) = github.comments(number)
    assert comment["user"]["login"] == BOT
    assert comment["body"].startswith(MARKER)
    assert "Waiting to be built" in comment["body"]

    desk.told(asked, BuildStatus.FAILED, "npm run build ended with 1")
    desk.keep("comment")
    assert desk.deliver() is None
    (edited,) = github.comments(number)
    assert edited["id"] == comment["id"] == PullRequest.get().comment_id
    assert "❌ The build failed" in edited["body"]
    assert "Waiting" not in edited["body"]

    # The id is lost, and somebody else quotes the comment, marker and all.
    PullRequest.update(comment_id=None).execute()
    path = f"/repos/{REPOSITORY}/issues/{number}/comments"
    github.ask("POST", path, {"body": f"{MARKER}\nlook at this"})
    _ready(desk, sha)
    assert desk.deliver() is None
    ours, theirs = github.comments(number)
    assert ours["id"] == comment["id"] == PullRequest.get().comment_id
    assert f"✅ Ready ([log](https://p.test/builds/{asked.build_id}))" in ours["body"]
    assert theirs["body"] == f"{MARKER}\nlook at this"

    github.ask("DELETE", f"/repos/{REPOSITORY}/issues/comments/{comment['id']}")
    _ready(desk, sha)
    assert desk.deliver() is None
    theirs, anew = github.comments(number)
    assert anew["user"]["login"] == BOT
    assert anew["id"] == PullRequest.get().comment_id != comment["id"]


def _ready(desk: Desk, sha: str) -> None:
    """The same build, as if it had gone well."""
    build = deployments.builds_of_commit(sha)[0]
    Build.update(status=BuildStatus.READY, error_message="").execute()
    desk.publish(BuildCompleted(build.deployment_id, build.id))
    desk.keep("comment")


def test_its_webhooks_are_signed_and_read_as_we_expect(
    make_settings: Callable[..., Settings], github: GitHub, hook: Hook
) -> None:
    settings = make_settings(
        GITHUB_TOKEN="owner",
        GITHUB_API_URL=github.url,
        PUBLIC_URL=hook.url,
        GITHUB_WEBHOOK_SECRET="hush",
    )
    client = client_from(settings)
    assert client is not None
    first = connect_repository(client, settings, REPOSITORY)
    again = connect_repository(client, settings, REPOSITORY)
    assert (first.created, again.created, again.hook_id) == (True, False, first.hook_id)
    (listed,) = github.ask("GET", f"/repos/{REPOSITORY}/hooks")
    assert sorted(listed["events"]) == sorted(EVENTS)

    opened = github.open_pull_request("feature")
    event = _read(hook, "pull_request", settings)
    assert isinstance(event, events.PullRequest)
    assert (event.repository, event.action, event.number) == (
        REPOSITORY,
        "opened",
        opened["number"],
    )
    assert (event.head_sha, event.head_ref, event.fork, event.open) == (
        opened["head"]["sha"],
        "feature",
        False,
        True,
    )
    github.ask("POST", f"/repos/{REPOSITORY}/hooks/{first.hook_id}/pings")
    assert _read(hook, "ping", settings) == events.Ping()


def _read(hook: Hook, name: str, settings: Settings) -> events.Event:
    headers, body = hook.wait(name)
    assert verify_signature(body, headers["X-Hub-Signature-256"], settings.GITHUB_WEBHOOK_SECRET)
    return events.parse(headers["X-GitHub-Event"], headers["Content-Type"], body)
