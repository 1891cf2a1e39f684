"""The projects of one repository, by the API: who may do what to them."""

from __future__ import annotations

import pytest

from bot.models import access, deployments, parts, projects, tokens, users
from bot.models.access import AccessKind
from bot.models.tokens import Scope
from bot.models.users import Role
from tests.api.conftest import Running

SHA = "a" * 40


@pytest.fixture
def docs(api: Running) -> str:
    """The id of a deployment of `octo/site#docs`."""
    with api.database.write():
        main = projects.connect_project(
            "octo/site", production_branch="main", private=True, installation_id=None
        )
        asked = deployments.request_build(main, SHA, "main", "push", "production")
        return parts.request(asked.deployment_id, ["docs"])[0].deployment_id


def as_member(api: Running, project: str, role: Role) -> None:
    """Act as somebody who is a member of this project alone."""
    with api.database.write():
        user = users.create("maria")
        found = projects.by_name(project)
        assert found is not None
        users.join(found.id, user.id, role)
        api.token = tokens.create("x", Scope.ADMIN, user_id=user.id)[1]


def test_a_parts_deployment_is_found_by_its_own_id(api: Running, docs: str) -> None:
    found = api.get(f"/api/v1/deployments/{docs}").json["data"]
    assert found["project"] == "octo/site#docs"
    assert found["url"].endswith(f"/{docs}/")
    listed = api.get(f"/api/v1/builds?sha={SHA}").json["data"]
    assert {row["project"] for row in listed} == {"octo/site", "octo/site#docs"}


def test_a_member_of_the_main_project_is_one_of_the_others(api: Running, docs: str) -> None:
    as_member(api, "octo/site", Role.DEVELOPER)
    assert api.get(f"/api/v1/deployments/{docs}").status_code == 200
    rows = {row["name"]: row for row in api.get("/api/v1/projects").json["data"]}
    assert sorted(rows) == ["octo/site", "octo/site#docs"]
    assert rows["octo/site"]["main_id"] is None
    assert rows["octo/site#docs"]["main_id"] == rows["octo/site"]["id"]


def test_who_is_no_member_of_the_main_project_cannot_open_it(api: Running, docs: str) -> None:
    main = projects.by_name("octo/site")
    assert main is not None
    with api.database.write():
        access.protect(main.id, AccessKind.LINK)
    as_member(api, "octo/site#docs", Role.OWNER)
    links = f"/api/v1/deployments/{docs}/links"
    assert api.post(links, json={}).status_code == 403
    # Its own protection is its own to open.
    part = projects.by_name("octo/site#docs")
    assert part is not None
    assert (
        api.request("PUT", f"/api/v1/projects/{part.id}/access", json={"kind": "link"}).status_code
        < 300
    )
    assert api.post(links, json={}).status_code == 201


def test_production_follows_one_branch_in_all_projects(api: Running, docs: str) -> None:
    main = projects.by_name("octo/site")
    assert main is not None
    changed = api.request(
        "PATCH", f"/api/v1/projects/{main.id}", json={"production_branch": "trunk"}
    )
    assert changed.status_code == 200, changed.json
    part = projects.by_name("octo/site#docs")
    assert part is not None
    assert part.production_branch == "trunk"
