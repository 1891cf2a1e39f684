"""Forks' commits are built once somebody who may deploy has approved them to the letter."""

from __future__ import annotations

from typing import Any

import pytest

from bot.models import projects
from bot.models.projects import Head
from bot.models.tables import AuditEntry, Build
from bot.models.tokens import Scope
from tests.api.conftest import Running

SHA, OTHER = "d" * 40, "e" * 40
PATH = "/api/v1/projects/octo/site/pulls/7/approve"


@pytest.fixture
def fork(api: Running) -> Running:
    """A pull request of a fork, which waits."""
    with api.database.write():
        project_id = projects.connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        projects.move_pull_request(project_id, 7, Head(SHA, "main", fork=True), 1)
    return api


def approve(api: Running, sha: str = SHA, path: str = PATH) -> Any:
    return api.post(path, json={"sha": sha})


def test_an_approved_commit_is_built(fork: Running) -> None:
    waiting = fork.get("/api/v1/projects/1/approvals").json["data"]
    assert [(row["number"], row["sha"]) for row in waiting] == [(7, SHA)]
    answer = approve(fork)
    assert (answer.status_code, answer.json["data"]["sha"]) == (202, SHA)
    assert fork.woken == [answer.json["data"]["id"]]
    assert fork.get("/api/v1/projects/1/approvals").json["data"] == []
    assert AuditEntry.get(AuditEntry.action == "fork.approve").subject == "octo/site"


def test_approving_twice_builds_once(fork: Running) -> None:
    first, second = approve(fork), approve(fork)
    assert first.json["data"]["id"] == second.json["data"]["id"]
    assert Build.select().count() == 1


def test_only_the_very_commit_that_waits_can_be_approved(fork: Running) -> None:
    answer = approve(fork, OTHER)
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert approve(fork, "main").status_code == 422
    for path in (PATH.replace("7", "8"), PATH.replace("site", "other")):
        assert approve(fork, path=path).status_code == 404
    assert Build.select().count() == 0
    assert AuditEntry.select().count() == 0


@pytest.mark.parametrize(("scope", "status"), [(Scope.READ, 403), (Scope.DEPLOY, 202)])
def test_approving_takes_the_right_to_deploy(fork: Running, scope: Scope, status: int) -> None:
    fork.token = fork.new_token(scope)
    assert approve(fork).status_code == status
