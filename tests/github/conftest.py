"""A project with a build, a reporter that records, and a sender with a clock to turn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from responses import RequestsMock

from bot import events
from bot.events import Bus
from bot.github.breaker import Breaker
from bot.github.client import Client, TokenClient
from bot.github.report import Reporter
from bot.github.sender import Sender
from bot.models import builds, deployments, projects
from bot.models.database import Database
from bot.models.deployments import Requested
from bot.models.status import BuildStatus
from bot.models.tables import OutboxEntry, PullRequest
from bot.settings import Settings

# PyGithub names the port in every address.
ROOT = "https://api.github.com:443"
API = f"{ROOT}/repos/octo/site"
SHA = "b" * 40
LOGIN = "ship-bot"


class Desk:
    """Everything between an event and GitHub."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        client: Client,
        repository: str = "octo/site",
    ) -> None:
        self.settings = settings
        self.database = database
        self.time = time.time() + 1  # everything recorded within the test is due
        self.bus = Bus()
        Reporter(settings, enabled=True).subscribe(self.bus)
        # Its pause is by the real clock, and none of these tests waits.
        self.sender = Sender(
            database, client, settings, clock=lambda: self.time, breaker=Breaker(pause=0)
        )
        with database.write():
            self.project_id = projects.connect_project(
                repository,
                production_branch="main",
                private=False,
                installation_id=None,
            )

    def request(
        self, sha: str = SHA, ref: str = "topic", environment: str = "preview"
    ) -> Requested:
        with self.database.write():
            return deployments.request_build(self.project_id, sha, ref, "push", environment)

    def publish(self, event: Any) -> None:
        with self.database.write():
            self.bus.publish(event)

    def finish(self, build_id: str, status: BuildStatus, error: str = "") -> None:
        with self.database.write():
            builds.claim(build_id, "worker")
            if status is BuildStatus.READY:
                assert builds.succeed(build_id, "worker", {}, [])
            else:
                assert builds.fail(build_id, "worker", status, "code", error, {})

    def told(
        self, requested: Requested, status: BuildStatus | None = None, error: str = ""
    ) -> None:
        """Publish what a build has come to; `None`: it was created."""
        ids = (requested.deployment_id, requested.build_id)
        if status is None:
            self.publish(events.DeploymentCreated(*ids))
        elif status is BuildStatus.CLONING:
            with self.database.write():
                assert builds.claim(requested.build_id, "worker")
            self.publish(events.BuildStarted(*ids))
        else:
            self.finish(requested.build_id, status, error)
            ready = status is BuildStatus.READY
            self.publish(events.BuildCompleted(*ids) if ready else events.BuildFailed(*ids))

    def open_pull_request(
        self, sha: str = SHA, number: int = 7, ref: str = "topic", comment_id: int | None = None
    ) -> PullRequest:
        found: PullRequest = PullRequest.create(
            project=self.project_id,
            number=number,
            head_sha=sha,
            head_ref=ref,
            moved_at=1,
            comment_id=comment_id,
        )
        return found

    def close_pull_request(self, pull_request: PullRequest) -> None:
        PullRequest.update(open=False).where(PullRequest.id == pull_request.id).execute()
        self.publish(events.PullRequestClosed(pull_request.id))

    def keep(self, kind: str) -> None:
        """Forget whatever else was to be told."""
        OutboxEntry.delete().where(OutboxEntry.kind != kind).execute()

    def deliver(self) -> int | None:
        return self.sender.deliver_due()

    def deliver_later(self, seconds: float = 4) -> int | None:
        """Comments on what is under way wait a moment."""
        self.time += seconds
        return self.deliver()

    def states(self, kind: str) -> list[str]:
        rows = OutboxEntry.select().where(OutboxEntry.kind == kind).order_by(OutboxEntry.id)
        return [str(row.state) for row in rows]


@pytest.fixture
def desk(make_settings: Callable[..., Settings]) -> Iterator[Desk]:
    from bot.models.database import connect

    settings = make_settings(GITHUB_TOKEN="ghp_x", PUBLIC_URL="https://p.test")
    database = connect(settings.DATABASE_URL)
    yield Desk(settings, database, TokenClient(settings))
    database.close()


@pytest.fixture
def github() -> Iterator[RequestsMock]:
    """What was not registered is refused; whether all was asked for is the test's to say."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def accept_all(github: RequestsMock, sha: str = SHA) -> None:
    """GitHub as it is on a good day, with one pull request and no comment on it yet."""
    github.post(f"{API}/statuses/{sha}", json={"id": 1}, status=201)
    github.post(f"{API}/deployments", json={"id": 77}, status=201)
    github.post(f"{API}/deployments/77/statuses", json={"id": 2}, status=201)
    github.get(f"{ROOT}/user", json={"login": LOGIN})
    github.get(f"{API}/issues/7/comments", json=[])
    github.post(f"{API}/issues/7/comments", json={"id": 55}, status=201)
    github.patch(f"{API}/issues/comments/55", json={"id": 55})


def written(comment_id: int, body: str, login: str = LOGIN) -> dict[str, Any]:
    """A comment as GitHub lists it."""
    return {"id": comment_id, "body": body, "user": {"login": login, "type": "User"}}


def bodies(github: RequestsMock, method: str, path: str) -> list[Any]:
    """The JSON bodies of all requests to a path below the repository."""
    return [
        json.loads(call.request.body or "{}")
        for call in github.calls
        if call.request.method == method and call.request.url == API + path
    ]


def sent(github: RequestsMock) -> list[tuple[str, str]]:
    """(method, path with query) of all requests, in order; below the repository where it is."""
    return [
        (str(call.request.method), str(call.request.url).removeprefix(API).removeprefix(ROOT))
        for call in github.calls
    ]
