"""Every operation that changes something leaves an entry in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from bot.models import inbox, projects, sql
from bot.models.projects import Head
from bot.models.tables import AuditEntry, Build, Token
from bot.webhooks.events import Ping
from tests.api.code_host import CodeHost
from tests.api.conftest import Running
from tests.api.test_deploy import PROJECT, SITE, upload
from tests.api.test_resources import commit, live
from tests.uploads.archives import zip_of

DOMAIN = "www.example.com"
# These change nothing that anybody sees: the deployment that they prepare is what is noted.
PREPARES = {"POST /api/v1/deployments/missing", "PUT /api/v1/contents/{digest}"}


def production(api: Running) -> dict[str, Any]:
    return {"deployment_id": live(api, production="yes")}


def cancelled(api: Running) -> str:
    build_id = str(upload(api, zip_of(PROJECT)).json["build_id"])
    api.post(f"/api/v1/builds/{build_id}/cancel")
    return build_id


def given_up(api: Running) -> str:
    """A delivery that failed by our fault."""
    kept = msgspec.json.encode(Ping()).decode()
    with api.database.write():
        inbox.fail("delivery-1", "ping", "", kept, "a defect of ours")
    return "delivery-1"


def user(api: Running) -> None:
    api.post("/api/v1/users", json={"login": "ann"})


def project(api: Running) -> None:
    api.post("/api/v1/projects", json={"name": "site"})


def member(api: Running) -> None:
    project(api)
    user(api)
    api.request("PUT", "/api/v1/projects/1/members/ann", json={"role": "viewer"})


def protected(api: Running) -> str:
    deployment_id = live(api)
    api.request("PUT", "/api/v1/projects/1/access", json={"kind": "link"})
    return deployment_id


def domain(api: Running) -> None:
    project(api)
    assert api.post("/api/v1/projects/1/domains", json={"domain": DOMAIN}).status_code == 201


def variable(api: Running) -> None:
    project(api)
    api.request("PUT", "/api/v1/projects/1/variables/A", json={"value": "x"})


def aliased(api: Running) -> None:
    body = {"deployment_id": live(api)}
    assert api.request("PUT", "/api/v1/projects/1/aliases/demo", json=body).status_code == 200


def code_host(api: Running) -> None:
    api.code_host = CodeHost()


def token(api: Running) -> str:
    api.new_token()
    return str(Token.get().id)


def signing_key(api: Running) -> str:
    live(api)  # what goes live is signed, and its key listed
    (row,) = sql.rows("SELECT id FROM signing_keys")
    return str(row[0])


def fork(api: Running) -> None:
    commit(api)
    with api.database.write():
        projects.move_pull_request(1, 7, Head("d" * 40, "main", fork=True), 1)


X = sha256(b"x").hexdigest()


def files_of_store(api: Running) -> None:
    api.request("PUT", f"/api/v1/contents/{X}", data=b"x")


# Operation → (what there must be before; its answer, if any, replaces `{}` in the path),
# the path, and the body.
Case = tuple[Callable[[Running], Any], str, Any]
OPERATIONS: dict[str, Case] = {
    "POST /deploy": (project, "/deploy", None),
    "POST /api/v1/deployments": (
        files_of_store,
        "/api/v1/deployments",
        {"files": {"index.html": X}},
    ),
    "DELETE /api/v1/deployments/{deployment_id}": (live, "/api/v1/deployments/{}", None),
    "POST /api/v1/builds/{build_id}/cancel": (commit, "/api/v1/builds/{}/cancel", None),
    "POST /api/v1/builds/{build_id}/retry": (cancelled, "/api/v1/builds/{}/retry", None),
    "POST /api/v1/projects": (lambda api: None, "/api/v1/projects", {"name": "site"}),
    "PATCH /api/v1/projects/{project_id}": (
        project,
        "/api/v1/projects/1",
        {"production_branch": "trunk"},
    ),
    "PUT /api/v1/projects/{project_id}/access": (
        project,
        "/api/v1/projects/1/access",
        {"kind": "link"},
    ),
    "DELETE /api/v1/projects/{project_id}/access": (project, "/api/v1/projects/1/access", None),
    "POST /api/v1/deployments/{deployment_id}/links": (
        protected,
        "/api/v1/deployments/{}/links",
        {"hours": 1},
    ),
    "DELETE /api/v1/projects/{project_id}": (project, "/api/v1/projects/1", None),
    "POST /api/v1/projects/{project_id}/promote": (live, "/api/v1/projects/1/promote", production),
    "POST /api/v1/projects/{project_id}/rollback": (
        lambda api: [production(api), production(api)],
        "/api/v1/projects/1/rollback",
        None,
    ),
    "PUT /api/v1/projects/{project_id}/aliases/{name}": (
        project,
        "/api/v1/projects/1/aliases/demo",
        lambda api: {"deployment_id": live(api)},
    ),
    "DELETE /api/v1/projects/{project_id}/aliases/{name}": (
        aliased,
        "/api/v1/projects/1/aliases/demo",
        None,
    ),
    "POST /api/v1/projects/{project_id}/domains": (
        project,
        "/api/v1/projects/1/domains",
        {"domain": DOMAIN},
    ),
    "POST /api/v1/projects/{project_id}/domains/{domain}/verify": (
        domain,
        f"/api/v1/projects/1/domains/{DOMAIN}/verify",
        None,
    ),
    "DELETE /api/v1/projects/{project_id}/domains/{domain}": (
        domain,
        f"/api/v1/projects/1/domains/{DOMAIN}",
        None,
    ),
    "PUT /api/v1/projects/{project_id}/variables/{name}": (
        project,
        "/api/v1/projects/1/variables/A",
        {"value": "x"},
    ),
    "DELETE /api/v1/projects/{project_id}/variables/{name}": (
        variable,
        "/api/v1/projects/1/variables/A",
        None,
    ),
    "POST /api/v1/variables/rotate": (variable, "/api/v1/variables/rotate", None),
    "PUT /api/v1/projects/{project_id}/members/{login}": (
        lambda api: [project(api), user(api)],
        "/api/v1/projects/1/members/ann",
        {"role": "owner"},
    ),
    "DELETE /api/v1/projects/{project_id}/members/{login}": (
        member,
        "/api/v1/projects/1/members/ann",
        None,
    ),
    "POST /api/v1/projects/{owner}/{name}/pulls/{number}/approve": (
        fork,
        "/api/v1/projects/octo/site/pulls/7/approve",
        {"sha": "d" * 40},
    ),
    "PUT /api/v1/repositories/{owner}/{name}": (
        code_host,
        "/api/v1/repositories/octo/site",
        None,
    ),
    "PUT /api/v1/projects/{project_id}/retention": (
        project,
        "/api/v1/projects/1/retention",
        {"idle_days": 5},
    ),
    "DELETE /api/v1/projects/{project_id}/retention": (
        project,
        "/api/v1/projects/1/retention",
        None,
    ),
    "POST /api/v1/dead-letters/{letter_id}/replay": (
        given_up,
        "/api/v1/dead-letters/{}/replay",
        None,
    ),
    "DELETE /api/v1/signing-keys/{key_id}": (signing_key, "/api/v1/signing-keys/{}", None),
    "POST /api/v1/gc": (lambda api: None, "/api/v1/gc", {}),
    "POST /api/v1/users": (lambda api: None, "/api/v1/users", {"login": "ann"}),
    "PATCH /api/v1/users/{login}": (user, "/api/v1/users/ann", {"role": "admin"}),
    "DELETE /api/v1/users/{login}": (user, "/api/v1/users/ann", None),
    "POST /api/v1/tokens": (lambda api: None, "/api/v1/tokens", {"name": "x"}),
    "DELETE /api/v1/tokens/{token_id}": (token, "/api/v1/tokens/{}", None),
}


def test_every_operation_that_changes_something_is_tried_here(api: Running) -> None:
    paths = api.get("/openapi.json").json["paths"]
    changing = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method in operations
        if method in {"post", "put", "patch", "delete"}
    }
    assert changing == OPERATIONS.keys() | PREPARES


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_succeeds_is_noted_with_who_what_and_when(api: Running, operation: str) -> None:
    prepare, path, body = OPERATIONS[operation]
    found = prepare(api)
    before = AuditEntry.select().count()
    if callable(body):
        body = body(api)
        before = AuditEntry.select().count()
    method = operation.partition(" ")[0]
    path = path.format(found)
    if operation == "POST /deploy":
        answer = upload(api, zip_of(SITE))
    else:
        answer = api.request(method, path, json=body)
    assert answer.status_code < 300, answer.text
    entries = list(AuditEntry.select().order_by(AuditEntry.id).offset(before))
    assert len(entries) == 1, operation
    assert entries[0].actor == "this machine"
    assert entries[0].action
    assert entries[0].subject
    assert entries[0].at > 0
    if "{project_id}" in operation:
        assert entries[0].project == "site"


def test_what_is_refused_leaves_no_entry(api: Running) -> None:
    build_id = commit(api)
    Build.update(status="failed").where(Build.id == build_id).execute()
    for path in (f"builds/{build_id}/cancel", "projects/1/rollback"):
        assert api.post(f"/api/v1/{path}").status_code == 409
    assert api.post("/api/v1/projects", json={"name": "octo/site"}).status_code == 409
    assert AuditEntry.select().count() == 0
