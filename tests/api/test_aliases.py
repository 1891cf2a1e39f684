"""Names that people give to deployments by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.models import projects, resolve, retention
from bot.models.retention import Policy
from bot.models.status import AliasKind
from bot.models.tables import Project
from bot.models.tokens import Scope
from tests.api.conftest import Running
from tests.api.test_resources import commit, live


def put(api: Running, name: str, deployment_id: str) -> Any:
    return api.request(
        "PUT", f"/api/v1/projects/1/aliases/{name}", json={"deployment_id": deployment_id}
    )


def test_a_name_leads_where_it_was_last_set(api: Running) -> None:
    first, second = live(api), live(api)
    made = put(api, "demo", first)
    assert made.status_code == 200
    assert made.json["data"]["url"] == f"{api.settings.PUBLIC_URL}/~/site/demo/"
    assert resolve.by_alias(made.json["data"]["address"]) == first
    put(api, "demo", second)
    assert resolve.by_alias("demo--site") == second
    (listed,) = api.get("/api/v1/projects/1/aliases").json["data"]
    assert (listed["kind"], listed["name"], listed["deployment_id"]) == ("custom", "demo", second)


def test_names_are_listed_page_by_page_and_by_what_they_lead_to(api: Running) -> None:
    first, second = live(api), live(api)
    for name in ("one", "two", "three"):
        put(api, name, second if name == "two" else first)
    listed: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.get(f"/api/v1/projects/1/aliases?limit=2&cursor={cursor}").json
        listed += [row["name"] for row in page["data"]]
        cursor = page["next"]
    assert listed == ["three", "two", "one"]
    for query, expected in (
        (f"deployment_id={second}", ["two"]),
        ("name=one", ["one"]),
        ("kind=production", []),
    ):
        found = api.get(f"/api/v1/projects/1/aliases?{query}").json["data"]
        assert [row["name"] for row in found] == expected


def test_under_a_preview_domain_a_name_has_a_host(start: Callable[..., Running]) -> None:
    api = start(PREVIEW_DOMAIN="preview.test", PUBLIC_URL="http://localhost:8000")
    url = put(api, "demo", live(api)).json["data"]["url"]
    assert url == "http://demo--site.preview.test:8000/"


def test_a_name_is_taken_away_and_its_deployment_stays(api: Running) -> None:
    deployment_id = live(api)
    put(api, "demo", deployment_id)
    path = "/api/v1/projects/1/aliases/demo"
    stale = api.request("DELETE", path, headers={"If-Match": '"none"'})
    assert stale.status_code == 412
    assert api.request("DELETE", path).status_code == 204
    assert resolve.by_alias("demo--site") == ""
    gone = api.request("DELETE", path)
    assert (gone.status_code, gone.json["code"]) == (404, "alias-not-found")
    assert api.get(f"/api/v1/deployments/{deployment_id}").json["data"]["status"] == "ready"


@pytest.mark.parametrize("name", ["Demo", "a--b", "-a", "a-", "a.b", "a_b", "x" * 64, "%C3%A9"])
def test_what_is_no_name_is_refused(api: Running, name: str) -> None:
    refused = put(api, name, live(api))
    assert (refused.status_code, refused.json["code"]) == (422, "invalid-alias")
    assert refused.json["hint"]


@pytest.mark.parametrize("name", ["production", "pr-7", "main", "feature-x"])
def test_a_name_that_something_else_has_is_taken(api: Running, name: str) -> None:
    live(api)
    deployment_id = live(api)
    with api.database.write():
        projects.move_ref(1, "main", "a" * 40, 1, "")
        projects.move_ref(1, "feature/x", "b" * 40, 1, "")
    refused = put(api, name, deployment_id)
    assert (refused.status_code, refused.json["code"]) == (409, "alias-taken")


def test_a_branch_that_is_pushed_later_takes_no_name_away(api: Running) -> None:
    first, second = live(api), live(api)
    put(api, "demo", first)
    with api.database.write():
        projects.point_alias(1, AliasKind.BRANCH, "demo", second)
    assert resolve.by_alias("demo--site") == first


def test_only_what_is_live_and_of_the_project_can_be_led_to(api: Running) -> None:
    build_id = commit(api)
    pending = api.get(f"/api/v1/builds/{build_id}").json["data"]["deployment_id"]
    of_another = live(api)
    assert put(api, "demo", pending).status_code == 409
    assert put(api, "demo", of_another).status_code == 404
    assert put(api, "demo", "dpl-none").json["code"] == "deployment-not-found"


def test_a_token_of_another_project_sees_no_names(api: Running) -> None:
    deployment_id = live(api)
    api.post("/api/v1/projects", json={"name": "other"})
    api.token = api.new_token(Scope.ADMIN, Project.get(Project.name == "other").id)
    assert put(api, "demo", deployment_id).status_code == 404
    api.token = api.new_token(Scope.READ)
    assert put(api, "demo", deployment_id).status_code == 403
    assert api.request("DELETE", "/api/v1/projects/1/aliases/demo").status_code == 403


def test_what_a_name_leads_to_is_kept(api: Running) -> None:
    deployment_id, other = live(api), live(api)
    put(api, "demo", deployment_id)
    verdicts = retention.decide(retention.facts_of(1), Policy())
    assert verdicts[deployment_id].reasons == ("demo leads to it",)
    assert not verdicts[other].kept


def test_a_project_has_only_so_many_names(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.models.aliases._MOST", 1)
    deployment_id = live(api)
    assert put(api, "one", deployment_id).status_code == 200
    assert put(api, "two", deployment_id).json["code"] == "too-many-aliases"
    assert put(api, "one", deployment_id).status_code == 200
