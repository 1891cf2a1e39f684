"""A repository gets its webhook, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from responses import RequestsMock

from bot.errors import SystemFault, UserError
from bot.github.client import TokenClient
from bot.github.connect import Connected, connect_repository
from bot.settings import Settings
from tests.github.conftest import API, sent

URL = "https://p.test/webhooks/github"
REPOSITORY = {"full_name": "octo/site", "default_branch": "trunk", "private": True}
CONFIG = {"url": URL, "content_type": "json", "secret": "new", "insecure_ssl": "0"}


@pytest.fixture
def connect(make_settings: Callable[..., Settings]) -> Callable[..., Connected]:
    def connect(repository: str = "octo/site", **given: Any) -> Connected:
        defaults = {
            "GITHUB_TOKEN": "ghp_x",
            "PUBLIC_URL": "https://p.test",
            "GITHUB_WEBHOOK_SECRET": "new,old",
        }
        settings = make_settings(**(defaults | given))
        return connect_repository(TokenClient(settings), settings, repository)

    return connect


def hook(hook_id: int, url: str, events: list[str]) -> dict[str, Any]:
    return {
        "id": hook_id,
        "url": f"{API}/hooks/{hook_id}".replace(":443", ""),  # as GitHub writes it
        "active": False,
        "events": events,
        "config": {"url": url, "content_type": "form", "secret": "********"},
    }


def connected(hook_id: int, *, created: bool) -> Connected:
    return Connected(
        "octo/site", hook_id, URL, created=created, production_branch="trunk", private=True
    )


def test_a_repository_without_our_webhook_gets_one(
    connect: Callable[..., Connected], github: RequestsMock
) -> None:
    github.get(f"{API}/hooks", json=[hook(1, "https://other.test/hook", ["push"])])
    github.post(f"{API}/hooks", json={"id": 9}, status=201)
    github.get(API, json=REPOSITORY)
    assert connect() == connected(9, created=True)
    assert json.loads(github.calls[1].request.body or "") == {
        "name": "web",
        "config": CONFIG,
        "events": ["push", "pull_request", "issue_comment", "delete", "repository"],
        "active": True,
    }


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["push"], ["push", "pull_request", "issue_comment", "delete", "repository"]),
        (
            ["issues", "push"],
            ["push", "pull_request", "issue_comment", "delete", "repository", "issues"],
        ),
        (["*"], ["*"]),
    ],
)
def test_a_webhook_that_is_there_is_brought_up_to_date(
    connect: Callable[..., Connected],
    github: RequestsMock,
    events: list[str],
    expected: list[str],
) -> None:
    github.get(f"{API}/hooks", json=[hook(9, URL, events)])
    github.patch(f"{API}/hooks/9", json=hook(9, URL, expected))
    github.get(API, json=REPOSITORY)
    for _ in range(2):
        assert connect() == connected(9, created=False)
    assert [method for method, _ in sent(github)] == ["GET", "PATCH", "GET"] * 2
    assert json.loads(github.calls[1].request.body or "") == {
        "name": "web",
        "config": CONFIG,
        "events": expected,
        "active": True,
    }


def test_a_webhook_that_somebody_else_made_meanwhile_is_not_doubled(
    connect: Callable[..., Connected], github: RequestsMock
) -> None:
    github.get(f"{API}/hooks", json=[])
    github.post(f"{API}/hooks", json={"message": "Hook already exists"}, status=422)
    github.get(f"{API}/hooks", json=[hook(9, URL, ["push"])])
    github.patch(f"{API}/hooks/9", json=hook(9, URL, []))
    github.get(API, json=REPOSITORY)
    assert connect().hook_id == 9


@pytest.mark.parametrize(
    ("repository", "settings", "code"),
    [
        ("site", {}, "not-a-repository"),
        ("octo/site/more", {}, "not-a-repository"),
        ("octo/..", {}, "not-a-repository"),
        ("_local/site", {}, "not-a-repository"),
        ("octo/site", {"ALLOWED_REPOSITORIES": "acme/*"}, "repository-not-allowed"),
        ("octo/site", {"PUBLIC_URL": "http://localhost:8000"}, "not-reachable"),
    ],
)
def test_what_cannot_work_is_refused_without_asking_github(
    connect: Callable[..., Connected],
    github: RequestsMock,
    repository: str,
    settings: dict[str, str],
    code: str,
) -> None:
    with pytest.raises(UserError) as caught:
        connect(repository, **settings)
    assert caught.value.code == code
    assert len(github.calls) == 0


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "bad-credentials"),
        (403, "no-webhook-permission"),
        (404, "no-webhook-permission"),
        (422, "webhook-refused"),
    ],
)
def test_what_github_refuses_is_said_in_words(
    connect: Callable[..., Connected], github: RequestsMock, status: int, code: str
) -> None:
    refusal = {"message": "Validation Failed", "errors": [{"message": "url is not supported"}]}
    github.get(f"{API}/hooks", json=[])
    github.post(f"{API}/hooks", json=refusal, status=status)
    with pytest.raises(UserError) as caught:
        connect()
    assert caught.value.code == code
    assert caught.value.hint
    if status == 422:
        assert "url is not supported" in caught.value.message


@pytest.mark.parametrize("answer", [502, requests.ConnectionError("no route")], ids=str)
def test_an_outage_is_no_fault_of_the_users(
    connect: Callable[..., Connected], github: RequestsMock, answer: int | Exception
) -> None:
    if isinstance(answer, int):
        github.get(f"{API}/hooks", json={"message": "oops"}, status=answer)
    else:
        github.get(f"{API}/hooks", body=answer)
    with pytest.raises(SystemFault):
        connect()
