"""Users, what they are in projects, and what their tokens may do for them."""

from __future__ import annotations

import os
import stat
from typing import Any

import pytest

from bot import first_token
from bot.models.tables import Deployment, Project, Token, User
from bot.models.tokens import Scope
from bot.models.users import Role
from tests.api.conftest import Running
from tests.api.test_deploy import SITE, upload
from tests.api.test_resources import live
from tests.uploads.archives import zip_of


def new_user(api: Running, login: str, role: str = "member") -> None:
    answer = api.post("/api/v1/users", json={"login": login, "role": role})
    assert answer.status_code == 201, answer.text


def token_of(api: Running, login: str, scope: str = "admin", **more: Any) -> str:
    body = {"name": "test", "scope": scope, "user": login} | more
    made = api.post("/api/v1/tokens", json=body)
    assert made.status_code == 201, made.text
    return str(made.json["data"]["token"])


def join(api: Running, login: str, role: str, project_id: int = 1) -> None:
    path = f"/api/v1/projects/{project_id}/members/{login}"
    assert api.request("PUT", path, json={"role": role}).status_code == 200


# What is asked for, and the scope that it takes in the project.
ASKED = [
    ("GET", "/api/v1/projects/1", None, Scope.READ),
    ("GET", "/api/v1/projects/1/members", None, Scope.READ),
    ("POST", "/api/v1/projects/1/rollback", None, Scope.DEPLOY),
    ("POST", "/api/v1/deployments", {"files": {"a": "a" * 64}, "project": "site"}, Scope.DEPLOY),
    ("PUT", "/api/v1/projects/1/variables/A", {"value": "x"}, Scope.ADMIN),
    ("PUT", "/api/v1/projects/1/members/bob", {"role": "viewer"}, Scope.ADMIN),
    ("GET", "/api/v1/audit?project_id=1", None, Scope.ADMIN),
]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("scope", list(Scope))
def test_a_user_may_what_their_role_and_their_token_both_allow(
    api: Running, role: Role, scope: Scope
) -> None:
    live(api)
    new_user(api, "ann")
    new_user(api, "bob")
    join(api, "ann", role)
    api.token = token_of(api, "ann", scope)
    for method, path, body, needed in ASKED:
        allowed = scope.includes(needed) and role.scope.includes(needed)
        answer = api.request(method, path, json=body)
        assert (answer.status_code != 403) is allowed, (path, answer.text)


def test_to_who_is_no_member_a_project_does_not_exist(api: Running) -> None:
    deployment_id = live(api)
    new_user(api, "ann")
    api.token = token_of(api, "ann")
    for resource in ("projects", "deployments", "builds", "usage"):
        assert api.get(f"/api/v1/{resource}").json["data"] == [], resource
    for path in ("projects/1", f"deployments/{deployment_id}", "audit?project_id=1"):
        assert api.get(f"/api/v1/{path}").status_code == 404, path
    assert upload(api, zip_of(SITE)).status_code == 403


def test_what_is_only_for_administrators_is_refused_to_members(api: Running) -> None:
    live(api)
    new_user(api, "ann")
    new_user(api, "root", "admin")
    join(api, "ann", "owner")
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/api/v1/users", None),
        ("POST", "/api/v1/users", {"login": "bob"}),
        ("PATCH", "/api/v1/users/ann", {"role": "admin"}),
        ("DELETE", "/api/v1/users/root", None),
        ("GET", "/api/v1/audit", None),
        ("POST", "/api/v1/variables/rotate", None),
        ("POST", "/api/v1/tokens", {"name": "x", "user": "root"}),
        ("POST", "/api/v1/tokens", {"name": "x", "user": ""}),
    ]
    tokens = {login: token_of(api, login) for login in ("ann", "root")}
    for method, path, body in asked:
        api.token = tokens["ann"]
        assert api.request(method, path, json=body).status_code == 403, path
    api.token = tokens["root"]
    assert api.get("/api/v1/users").status_code == 200


def test_who_makes_a_project_owns_it(api: Running) -> None:
    new_user(api, "ann")
    api.token = token_of(api, "ann", "deploy")
    deployed = upload(api, zip_of(SITE), project="anns")
    assert deployed.status_code == 201
    assert Deployment.get_by_id(deployed.json["deployment_id"]).user.login == "ann"
    project_id = Project.get(Project.name == "anns").id
    members = api.get(f"/api/v1/projects/{project_id}/members").json["data"]
    assert [(m["login"], m["role"]) for m in members] == [("ann", "owner")]
    mine = api.get("/api/v1/users/me").json["data"]
    assert (mine["login"], mine["role"], mine["scope"]) == ("ann", "member", "deploy")
    assert [(m["project"], m["role"]) for m in mine["memberships"]] == [("anns", "owner")]


def test_a_member_is_promoted_and_leaves_at_once(api: Running) -> None:
    live(api)
    new_user(api, "ann")
    token = token_of(api, "ann")
    for role, status in (("viewer", 403), ("developer", 409)):
        join(api, "ann", role)
        api.token = token
        assert api.post("/api/v1/projects/1/rollback").status_code == status
        api.token = ""
    api.token = token
    assert api.request("DELETE", "/api/v1/projects/1/members/ann").status_code == 204
    assert api.get("/api/v1/projects/1").status_code == 404
    api.token = ""
    gone = api.request("DELETE", "/api/v1/projects/1/members/ann")
    assert (gone.status_code, gone.json["code"]) == (404, "member-not-found")


def test_a_removed_users_tokens_are_worth_nothing(api: Running) -> None:
    new_user(api, "ann")
    token = token_of(api, "ann")
    assert api.request("DELETE", "/api/v1/users/ann").status_code == 204
    api.token = token
    assert api.get("/api/v1/projects").status_code == 401
    assert Token.select().count() == 0


def test_the_last_administrator_stays_one(api: Running) -> None:
    new_user(api, "root", "admin")
    for method, body in (("PATCH", {"role": "member"}), ("DELETE", None)):
        answer = api.request(method, "/api/v1/users/root", json=body)
        assert (answer.status_code, answer.json["code"]) == (409, "last-admin")
    new_user(api, "second", "admin")
    assert api.request("DELETE", "/api/v1/users/root").status_code == 204


@pytest.mark.parametrize("login", ["", "Ann", "a/b", "me", "a" * 40, "-a", "a b", "ä"])
def test_what_is_no_login_is_refused(api: Running, login: str) -> None:
    assert api.post("/api/v1/users", json={"login": login}).status_code == 422
    assert User.select().count() == 0


def test_users_see_and_revoke_their_own_tokens_and_their_projects(api: Running) -> None:
    live(api)
    for login in ("ann", "bob"):
        new_user(api, login)
    join(api, "ann", "owner")
    tokens = {login: token_of(api, login) for login in ("ann", "bob")}
    body = {"name": "ci", "scope": "deploy", "user": "", "project_id": 1}
    for login, status in (("bob", 404), ("ann", 201)):
        api.token = tokens[login]
        assert api.post("/api/v1/tokens", json=body).status_code == status
    seen = api.get("/api/v1/tokens").json["data"]
    assert [(row["name"], row["user"]) for row in seen] == [("ci", None), ("test", "ann")]
    api.token = tokens["bob"]
    assert [row["user"] for row in api.get("/api/v1/tokens").json["data"]] == ["bob"]
    for row in seen:
        assert api.request("DELETE", f"/api/v1/tokens/{row['id']}").status_code == 404
    api.token = tokens["ann"]
    for row in seen:
        assert api.request("DELETE", f"/api/v1/tokens/{row['id']}").status_code == 204


def test_a_users_token_can_be_for_one_project_alone(api: Running) -> None:
    live(api, project="one")
    live(api, project="two")
    new_user(api, "ann")
    for project_id in (1, 2):
        join(api, "ann", "owner", project_id)
    api.token = token_of(api, "ann", project_id=2)
    assert [row["name"] for row in api.get("/api/v1/projects").json["data"]] == ["two"]
    assert api.get("/api/v1/projects/1").status_code == 404
    # Nor does it make a token that is for more.
    assert api.post("/api/v1/tokens", json={"name": "x"}).status_code == 403


def test_owners_read_what_was_done_in_their_project(api: Running) -> None:
    live(api, project="one")
    live(api, project="two")
    new_user(api, "ann")
    join(api, "ann", "owner", 2)
    api.token = token_of(api, "ann")
    api.request("PUT", "/api/v1/projects/2/variables/A", json={"value": "x"})
    entries = api.get("/api/v1/audit?project_id=2").json["data"]
    assert [entry["action"] for entry in entries] == [
        "variable.set",
        "member.set",
        "deployment.create",
    ]
    assert entries[0]["actor"].startswith("ann, by token test")
    assert {entry["project"] for entry in entries} == {"two"}


def test_the_audit_log_is_filtered(api: Running) -> None:
    live(api)
    new_user(api, "ann")
    token_of(api, "ann")
    first = api.get("/api/v1/audit?limit=1").json
    assert first["data"][0]["action"] == "token.create"
    assert first["next"]
    for query, actions in (
        ("action=user.", ["user.create"]),
        ("actor=this%20machine&action=deployment", ["deployment.create"]),
        ("subject=ann", ["user.create"]),
        (f"until={first['data'][0]['at']}&action=token", []),
        (f"since={first['data'][0]['at'] + 1}", []),
        ("actor=nobody", []),
    ):
        found = api.get(f"/api/v1/audit?{query}").json["data"]
        assert [entry["action"] for entry in found] == actions, query


def test_the_first_start_makes_one_administrators_token(api: Running) -> None:
    secret = first_token.make_if_first(api.settings, api.database)
    path = first_token.path_of(api.settings)
    assert path.read_text() == f"{secret}\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert first_token.make_if_first(api.settings, api.database) == ""
    api.token = "dst_wrong"
    assert api.get("/api/v1/users").status_code == 401
    assert path.exists()
    api.token = secret
    assert api.get("/api/v1/users/me").json["data"]["role"] == "admin"
    assert not path.exists()
    assert secret not in str([row.__dict__ for row in Token.select()])


def test_an_operator_at_the_machine_is_let_in_again(api: Running) -> None:
    first_token.make_if_first(api.settings, api.database)
    api.token = first_token.make_another(api.database, "spare")
    assert api.get("/api/v1/users").status_code == 200
    new_user(api, "second", "admin")
    assert api.request("PATCH", "/api/v1/users/admin", json={"role": "member"}).status_code == 200
    assert api.get("/api/v1/users").status_code == 403
    api.token = first_token.make_another(api.database, "spare")
    assert api.get("/api/v1/users").status_code == 200
