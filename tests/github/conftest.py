"""A project with a build, a reporter that records, and a sender with a clock to turn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from responses import RequestsMock

from bot.events import Bus
from bot.github.client import TokenClient
from bot.github.report import Reporter
from bot.github.sender import Sender
from bot.models import builds, deployments, projects
from bot.models.database import Database
from bot.models.deployments import Requested
from bot.models.status import BuildStatus
from bot.models.tables import OutboxEntry, PullRequest
from bot.settings import Settings

# PyGithub names the port in every address.
API = "https://api.github.com:443/repos/octo/site"
SHA = "b" * 40


class Desk:
    """Everything between an event and GitHub."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.time = time.time() + 1  # everything recorded within the test is due
        self.bus = Bus()
        Reporter(settings, enabled=True).subscribe(self.bus)
        self.sender = Sender(database, TokenClient(settings), settings, clock=lambda: self.time)
        with database.write():
            self.project_id = projects.connect_project(
                "octo/site", production_branch="main", private=False, installation_id=None
            )

    def request(self, sha: str = SHA, ref: str = "topic") -> Requested:
        with self.database.write():
            return deployments.request_build(self.project_id, sha, ref, "push", "preview")

    def publish(self, event: Any) -> None:
        with self.database.write():
            self.bus.publish(event)

    def finish(self, build_id: str, status: BuildStatus, error: str = "") -> None:
        with self.database.write():
            assert builds.claim(build_id, "worker")
            if status is BuildStatus.READY:
                assert builds.succeed(build_id, "worker", {}, [])
            else:
                assert builds.fail(build_id, "worker", status, "code", error, {})

    def open_pull_request(self, sha: str = SHA, number: int = 7) -> PullRequest:
        found: PullRequest = PullRequest.create(
            project=self.project_id, number=number, head_sha=sha, head_ref="topic", moved_at=1
        )
        return found

    def deliver(self) -> int | None:
        return self.sender.deliver_due()

    def states(self, kind: str) -> list[str]:
        rows = OutboxEntry.select().where(OutboxEntry.kind == kind).order_by(OutboxEntry.id)
        return [str(row.state) for row in rows]


@pytest.fixture
def desk(make_settings: Callable[..., Settings]) -> Iterator[Desk]:
    from bot.models.database import connect

    settings = make_settings(GITHUB_TOKEN="ghp_x", PUBLIC_URL="https://p.test")
    database = connect(settings.DATABASE_URL)
    yield Desk(settings, database)
    database.close()


@pytest.fixture
def github() -> Iterator[RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def bodies(github: RequestsMock, method: str, path: str) -> list[Any]:
    """The JSON bodies of all requests to a path below the repository."""
    return [
        json.loads(call.request.body or "{}")
        for call in github.calls
        if call.request.method == method and call.request.url == API + path
    ]
