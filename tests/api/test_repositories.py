"""Connecting a repository through the API; `tests.github.test_connect` has GitHub's side."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.models.tables import Project
from bot.models.tokens import Scope
from tests.api.code_host import CodeHost
from tests.api.conftest import Running

PATH = "/api/v1/repositories/octo/site"


@pytest.fixture
def host(start: Callable[..., Running]) -> Running:
    api = start(GITHUB_WEBHOOK_SECRET="new,old")
    api.code_host = CodeHost()
    return api


def test_a_repository_is_connected_once_and_mended_from_then_on(host: Running) -> None:
    answers = [host.request("PUT", PATH) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    first, again = (answer.json["data"] for answer in answers)
    assert again == first | {"created": False}
    (hook,) = host.code_host.repository("octo/site").hooks
    assert hook.config["url"] == first["url"] == f"{host.settings.PUBLIC_URL}/webhooks/github"
    assert hook.config["secret"] == "new"
    assert "new" not in answers[0].text


def test_its_project_is_there_before_the_first_push(host: Running) -> None:
    connection = host.request("PUT", PATH).json["data"]
    project = Project.get_by_id(connection["project_id"])
    assert (project.name, project.production_branch, project.private) == (
        "octo/site",
        "trunk",
        True,
    )
    path = f"/api/v1/projects/{project.id}/variables/A"
    assert host.request("PUT", path, json={"value": "x"}).status_code == 200


def test_connecting_is_for_administrators(host: Running) -> None:
    connected = host.request("PUT", PATH).json["data"]
    for token in (
        host.new_token(Scope.DEPLOY),
        host.new_token(Scope.ADMIN, connected["project_id"]),
    ):
        host.token = token
        assert host.request("PUT", PATH).status_code == 403
    assert host.request("PUT", "/api/v1/repositories/octo/other").status_code == 403
    assert list(host.code_host.repositories) == ["octo/site"]


def test_without_credentials_it_says_who_can_mend_that(host: Running) -> None:
    host.code_host = None
    refused = host.request("PUT", PATH)
    assert (refused.status_code, refused.json["code"]) == (422, "no-credentials")
    assert "operator" in refused.json["hint"]


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (401, 422, "bad-credentials"),
        (403, 422, "no-webhook-permission"),
        (404, 422, "no-webhook-permission"),
        (502, 503, "github-unreachable"),
    ],
)
def test_what_github_refuses_is_told_and_makes_no_project(
    host: Running, status: int, expected: int, code: str
) -> None:
    host.code_host = CodeHost(status)
    refused = host.request("PUT", PATH)
    assert (refused.status_code, refused.json["code"]) == (expected, code)
    assert Project.select().count() == 0


@pytest.mark.parametrize("name", ["octo/..", "_local/site", "octo/a%20b"])
def test_what_is_no_repository_is_refused(host: Running, name: str) -> None:
    refused = host.request("PUT", f"/api/v1/repositories/{name}")
    assert refused.status_code in {404, 422}
    assert Project.select().count() == 0
