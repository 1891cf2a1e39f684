from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bot.errors import SystemFault
from bot.models import builds, changes, deployments, projects, variables
from bot.models.ids import now
from bot.models.tables import AuditEntry, Build, Deployment, OutboxEntry, Project, Token, Variable
from bot.models.tokens import Scope
from bot.sealing import sealing_from
from bot.storage.manifest import Manifest
from bot.storage.store import Store
from tests.api.conftest import Running
from tests.api.test_deploy import PROJECT, SITE, upload
from tests.serve.conftest import wait_until
from tests.uploads.archives import zip_of

SHA = "a" * 40


def commit(api: Running, sha: str = SHA, name: str = "octo/site", branch: str = "main") -> str:
    """A queued build of a commit; answers its id."""
    with api.database.write():
        project_id = projects.connect_project(
            name, production_branch="main", private=False, installation_id=None
        )
        requested = deployments.request_build(project_id, sha, branch, "push", "production")
    return requested.build_id


def live(api: Running, **fields: str) -> str:
    """The id of a deployment that is live."""
    answer = upload(api, zip_of(SITE), **fields)
    assert answer.status_code == 201
    return str(answer.json["deployment_id"])


def test_the_builds_of_a_commit_are_listed_newest_first(api: Running) -> None:
    first = commit(api)
    Build.update(status="failed").where(Build.id == first).execute()
    second = api.post(f"/api/v1/builds/{first}/retry").json["data"]["id"]
    commit(api, "b" * 40)
    answer = api.get(f"/api/v1/builds?sha={SHA}")
    assert [build["id"] for build in answer.json["data"]] == [second, first]
    assert {"id", "sha", "status", "url", "log_url", "framework", "stages"} <= (
        answer.json["data"][0].keys()
    )
    assert answer.json["data"][0]["url"] == f"http://localhost:8000/{SHA}/"


def test_a_sha_that_is_none_is_refused(api: Running) -> None:
    answer = api.get("/api/v1/builds?sha=abc")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-sha")
    assert answer.content_type == "application/problem+json"


def test_lists_are_filtered(api: Running) -> None:
    live(api, project="one")
    live(api, project="two", production="yes")
    project_id = Project.get(Project.name == "two").id
    for query in (
        f"project_id={project_id}",
        "project=two",
        "environment=production",
        "status=ready&limit=1",
    ):
        data = api.get(f"/api/v1/deployments?{query}").json["data"]
        assert [row["project"] for row in data] == ["two"], query
    assert [p["name"] for p in api.get("/api/v1/projects?name=one").json["data"]] == ["one"]
    for query in (f"project_id={project_id}", "project=two"):
        assert len(api.get(f"/api/v1/builds?{query}").json["data"]) == 1


@pytest.mark.parametrize("resource", ["builds", "deployments", "projects"])
def test_pages_follow_one_another_without_gaps_while_new_rows_come_in(
    api: Running, resource: str
) -> None:
    for number in range(5):
        commit(api, f"{number}" * 40, f"octo/{number}")
    seen, cursor = [], ""
    for page in range(10):
        answer = api.get(f"/api/v1/{resource}?limit=2&cursor={cursor}").json
        seen += [row["id"] for row in answer["data"]]
        commit(api, f"{page + 5:x}" * 40, f"octo/later-{page}")
        if answer["next"] is None:
            break
        cursor = answer["next"]
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("cursor", ["!", "%C3%A9", "AAAA", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzz"])
def test_a_cursor_that_was_never_given_out_is_refused(api: Running, cursor: str) -> None:
    assert api.get(f"/api/v1/projects?cursor={cursor}").json["code"] == "invalid-cursor"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "status=nothing"])
def test_a_query_that_is_not_valid_is_refused(api: Running, query: str) -> None:
    answer = api.get(f"/api/v1/builds?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-request")
    assert answer.json["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "path",
    ["builds/x", "builds/x/log", "deployments/x", "deployments/x/files", "projects/9", "nothing"],
)
def test_what_does_not_exist_is_404_with_a_problem(api: Running, path: str) -> None:
    answer = api.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


def test_what_has_not_changed_is_not_sent_again(api: Running) -> None:
    path = f"/api/v1/deployments/{live(api)}"
    first = api.get(path)
    again = api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    Deployment.update(updated_at=1).execute()
    assert api.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_change_of_what_has_changed_meanwhile_is_refused(api: Running) -> None:
    live(api)
    tag = api.get("/api/v1/projects/1").headers["ETag"]
    body = {"production_branch": "trunk"}
    headers = {"If-Match": tag}
    assert api.request("PATCH", "/api/v1/projects/1", json=body, headers=headers).status_code == 200
    late = api.request("PATCH", "/api/v1/projects/1", json=body, headers=headers)
    assert (late.status_code, late.json["code"]) == (412, "precondition-failed")


def test_a_deployments_files_are_listed(api: Running) -> None:
    data = api.get(f"/api/v1/deployments/{live(api)}/files").json["data"]
    assert {row["path"]: row["size"] for row in data} == {p: len(c) for p, c in SITE.items()}


def test_a_log_is_given_in_parts(api: Running) -> None:
    build_id = upload(api, zip_of(SITE)).json["build_id"]
    path = f"/api/v1/builds/{build_id}/log"
    with api.get(path) as whole:
        assert whole.content_type.startswith("text/plain")
        log = whole.data
    assert b"Live at" in log
    with api.get(path, headers={"Range": "bytes=5-9"}) as part:
        assert (part.status_code, part.data) == (206, log[5:10])
    with api.get(path, headers={"Range": "bytes=999999-"}) as beyond:
        assert (beyond.status_code, beyond.content_type) == (416, "application/problem+json")


def events(data: bytes) -> list[tuple[str, str, str]]:
    """(event, data, id) of each."""
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], fields["data"], fields.get("id", "")))
    return found


STREAM = {"Accept": "text/event-stream"}


def test_a_log_is_followed_until_its_build_ends(api: Running) -> None:
    build_id = commit(api)
    log = api.settings.DATA_DIR / "logs/x.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"one\n")
    Build.update(logs="logs/x.log", status="building", worker="w").execute()
    seen = io.BytesIO()

    def follow() -> None:
        answer = api.get(f"/api/v1/builds/{build_id}/log", headers=STREAM, buffered=False)
        for chunk in answer.response:
            seen.write(chunk)  # type: ignore[arg-type]
            if b"data: one" in chunk:
                written.set()
        answer.close()

    written = threading.Event()
    follower = threading.Thread(target=follow)
    follower.start()
    assert written.wait(10)
    with log.open("ab") as file:
        file.write(b"two\nthr")
        file.write(b"ee\n")
    with api.database.write():
        builds.succeed(build_id, "w", {}, [])
    follower.join(10)
    assert events(seen.getvalue()) == [
        ("line", "one", "4"),
        ("line", "two", "8"),
        ("line", "three", "14"),
        ("end", "ready", ""),
    ]


def test_a_follower_goes_on_where_it_was_cut_off(api: Running) -> None:
    build_id = upload(api, zip_of(SITE)).json["build_id"]
    path = f"/api/v1/builds/{build_id}/log"
    all_events = events(api.get(path, headers=STREAM).data)
    rest = events(api.get(path, headers=STREAM | {"Last-Event-ID": all_events[0][2]}).data)
    assert rest == all_events[1:]


def test_followers_never_take_more_than_half_of_the_threads(start: Callable[..., Running]) -> None:
    api = start(WEB_THREADS=2)
    build_id = commit(api)
    first = api.get(f"/api/v1/builds/{build_id}/log", headers=STREAM, buffered=False)
    second = api.get(f"/api/v1/builds/{build_id}/log", headers=STREAM)
    assert (second.status_code, second.json["code"]) == (503, "too-many-followers")
    first.close()
    third = api.get(f"/api/v1/builds/{build_id}/log", headers=STREAM, buffered=False)
    assert third.status_code == 200
    third.close()


def test_a_queued_build_is_cancelled_once(api: Running) -> None:
    build_id = commit(api)
    answer = api.post(f"/api/v1/builds/{build_id}/cancel")
    assert answer.json["data"]["status"] == "cancelled"
    again = api.post(f"/api/v1/builds/{build_id}/cancel")
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    api.worker.build(build_id)
    assert Build.get_by_id(build_id).status == "cancelled"


def outbox(kind: str) -> list[dict[str, Any]]:
    """What the code host is to be told, the oldest first."""
    rows = OutboxEntry.select().where(OutboxEntry.kind == kind).order_by(OutboxEntry.id)
    return [json.loads(row.payload) for row in rows]


def test_the_code_host_is_told_of_a_cancelled_build_at_once(api: Running) -> None:
    build_id = commit(api)
    assert api.told == []
    api.post(f"/api/v1/builds/{build_id}/cancel")
    assert len(api.told) == 1
    assert "cancelled" in outbox("status")[-1]["body"]["description"].lower()


def test_the_code_host_is_told_where_production_leads(api: Running) -> None:
    build_id = commit(api)
    build = Build.get_by_id(build_id)
    with api.database.write():
        builds.claim(build_id, "w")
        builds.succeed(build_id, "w", {}, [])
    path = "/api/v1/projects/1/promote"
    answer = api.post(path, json={"deployment_id": build.deployment_id})
    assert answer.status_code == 200
    assert len(api.told) == 1
    told = outbox("deployment")[-1]
    assert (told["environment"], told["status"]["state"]) == ("production", "success")


def test_a_projects_token_deploys_to_its_project(api: Running) -> None:
    live(api, project="mine")
    api.token = api.new_token(Scope.DEPLOY, 1)
    assert upload(api, zip_of(SITE)).json["project"] == "mine"
    assert upload(api, zip_of(SITE), project="other").status_code == 403


def test_what_failed_is_built_again_and_what_is_live_is_not(api: Running) -> None:
    build_id = commit(api)
    api.post(f"/api/v1/builds/{build_id}/cancel")
    again = api.post(f"/api/v1/builds/{build_id}/retry")
    assert (again.status_code, api.woken) == (202, [again.json["data"]["id"]])
    assert api.post(f"/api/v1/builds/{build_id}/retry").status_code == 409
    done = upload(api, zip_of(SITE)).json["build_id"]
    assert api.post(f"/api/v1/builds/{done}/retry").status_code == 409


def test_an_upload_whose_archive_is_gone_cannot_be_built_again(api: Running) -> None:
    answer = upload(api, zip_of(PROJECT)).json
    api.post(f"/api/v1/builds/{answer['build_id']}/cancel")
    shutil.rmtree(api.settings.DATA_DIR / "uploads" / answer["deployment_id"])
    again = api.post(f"/api/v1/builds/{answer['build_id']}/retry")
    assert (again.status_code, again.json["code"]) == (410, "source-gone")


def production_of(api: Running, project_id: int = 1) -> str:
    aliases = api.get(f"/api/v1/projects/{project_id}/aliases").json["data"]
    return next(str(a["deployment_id"]) for a in aliases if a["kind"] == "production")


def test_production_is_promoted_and_rolled_back(api: Running) -> None:
    first = live(api, production="yes")
    second = live(api, production="yes")
    preview = live(api)
    assert production_of(api) == second
    assert (
        api.post("/api/v1/projects/1/promote", json={"deployment_id": preview}).status_code == 200
    )
    assert production_of(api) == preview
    for expected in (second, first):
        answer = api.post("/api/v1/projects/1/rollback")
        assert answer.json["data"]["id"] == expected == production_of(api)
    assert api.post("/api/v1/projects/1/rollback").status_code == 409


def test_what_is_not_live_or_of_another_project_is_not_promoted(api: Running) -> None:
    live(api)
    other = live(api, project="other")
    answer = api.post("/api/v1/projects/1/promote", json={"deployment_id": other})
    assert answer.json["code"] == "deployment-not-found"
    queued = upload(api, zip_of(PROJECT)).json["deployment_id"]
    answer = api.post("/api/v1/projects/1/promote", json={"deployment_id": queued})
    assert answer.status_code == 409


def test_a_deleted_deployment_is_gone_from_the_store_but_can_be_looked_up(api: Running) -> None:
    deployment_id = live(api)
    assert api.request("DELETE", f"/api/v1/deployments/{deployment_id}").status_code == 204
    answer = api.get(f"/api/v1/deployments/{deployment_id}")
    assert answer.json["data"]["status"] == "deleted"
    # What makes a live page faster may be under way: it takes back what it does.
    manifest = api.settings.DATA_DIR / f"artifacts/manifests/{deployment_id}.json"
    wait_until(lambda: not manifest.exists())
    assert api.request("DELETE", f"/api/v1/deployments/{deployment_id}").status_code == 204


def test_what_is_deleted_while_it_is_compressed_stays_deleted(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def late(store: Store, deployment_id: str, _previous: str) -> Manifest:
        manifest = store.manifest(deployment_id)
        with api.database.write():
            changes.delete_deployment(deployment_id)
        store.delete(deployment_id)
        store.publish(manifest)
        done.set()
        return manifest

    monkeypatch.setattr("bot.attempt.add_variants", late)
    deployment_id = live(api)
    assert done.wait(20)
    wait_until(lambda: deployment_id not in {id_ for id_, *_ in api.store.deployments()})
    assert not (api.settings.DATA_DIR / f"artifacts/sites/{deployment_id}").exists()


def test_what_production_leads_to_is_not_deleted(api: Running) -> None:
    deployment_id = live(api, production="yes")
    answer = api.request("DELETE", f"/api/v1/deployments/{deployment_id}")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")


def test_a_project_is_made_and_deleted_with_all_its_deployments(api: Running) -> None:
    made = api.post("/api/v1/projects", json={"name": "docs", "production_branch": "trunk"})
    assert (made.status_code, made.json["data"]["production_branch"]) == (201, "trunk")
    assert api.post("/api/v1/projects", json={"name": "docs"}).status_code == 409
    deployment_id = live(api, project="docs")
    assert api.request("DELETE", made.headers["Location"]).status_code == 204
    assert api.get(f"/api/v1/deployments/{deployment_id}").status_code == 404
    assert not (api.settings.DATA_DIR / f"artifacts/manifests/{deployment_id}.json").exists()


def test_a_domain_is_claimed_and_waits_for_its_proof(api: Running) -> None:
    live(api)
    added = api.post("/api/v1/projects/1/domains", json={"domain": "WWW.Example.com"})
    assert (added.status_code, added.json["data"]["name"]) == (201, "www.example.com")
    assert added.json["data"]["state"] == "pending"
    (record,) = added.json["data"]["records"]
    assert (record["type"], record["name"]) == ("TXT", "_deploystack.www.example.com")
    assert api.get("/api/v1/projects/1/domains").json["data"] == [added.json["data"]]
    path = "/api/v1/projects/1/domains/www.example.com"
    assert api.request("DELETE", path).status_code == 204
    assert api.request("DELETE", path).json["code"] == "domain-not-found"


@pytest.mark.parametrize("domain", ["localhost", "a b.com", "-a.com", "a..com", "http://a.com", ""])
def test_what_is_no_domain_is_refused(api: Running, domain: str) -> None:
    live(api, production="yes")
    assert api.post("/api/v1/projects/1/domains", json={"domain": domain}).status_code == 422


def test_a_project_is_protected_and_opened_again(api: Running) -> None:
    deployment_id = live(api)
    path, links = "/api/v1/projects/1/access", f"/api/v1/deployments/{deployment_id}/links"
    assert api.get(path).json["data"] == {"kind": None}
    assert api.post(links, json={}).status_code == 409
    answer = api.request("PUT", path, json={"kind": "password"})
    assert (answer.status_code, answer.json["code"]) == (422, "password-missing")
    answer = api.request("PUT", path, json={"kind": "password", "password": "s3cret-word"})
    assert answer.json["data"] == {"kind": "password"} == api.get(path).json["data"]
    assert "s3cret-word" not in "".join(entry.details for entry in AuditEntry.select())
    link = api.post(links, json={"hours": 2}).json["data"]
    assert link["url"].startswith(f"http://localhost:8000/{deployment_id}/?_access=")
    assert 0 < link["expires_at"] - now() <= 2 * 3_600_000
    assert api.request("DELETE", path).status_code == 204
    assert api.get(path).json["data"] == {"kind": None}


def test_a_projects_switches_are_turned_one_by_one(api: Running) -> None:
    live(api)
    for body in ({"toolbar": True}, {"production_branch": "trunk"}, {"build_on_visit": True}):
        assert api.request("PATCH", "/api/v1/projects/1", json=body).status_code == 200
    found = api.get("/api/v1/projects/1").json["data"]
    assert (found["production_branch"], found["toolbar"], found["build_on_visit"]) == (
        "trunk",
        True,
        True,
    )


def put_variable(api: Running, name: str, value: str, context: str = "all") -> Any:
    body = {"value": value, "context": context}
    return api.request("PUT", f"/api/v1/projects/1/variables/{name}", json=body)


def test_a_variables_value_is_kept_sealed_and_never_given_out(api: Running) -> None:
    live(api)
    answer = put_variable(api, "API_KEY", "s3cret-value")
    assert (answer.status_code, answer.json["data"]["name"]) == (200, "API_KEY")
    listed = api.get("/api/v1/projects/1/variables")
    assert b"s3cret-value" not in answer.data + listed.data
    stored = Variable.get().value
    assert "s3cret-value" not in stored
    assert sealing_from(api.settings).open(stored).reveal() == "s3cret-value"
    assert "s3cret-value" not in "".join(entry.details for entry in AuditEntry.select())


def test_a_build_gets_the_variables_of_its_environment(api: Running) -> None:
    live(api)
    for value, context in (("1", "all"), ("2", "production")):
        put_variable(api, "A", value, context)
    put_variable(api, "B", "3", "preview")
    sealing = sealing_from(api.settings)
    found = {
        environment: {
            name: sealing.open(sealed.value).reveal()
            for name, sealed in variables.for_build(1, environment).items()
        }
        for environment in ("production", "preview")
    }
    assert found == {"production": {"A": "2"}, "preview": {"A": "1", "B": "3"}}


def test_a_variable_can_be_for_branches_alone(api: Running) -> None:
    live(api)
    put_variable(api, "A", "1")
    body = {"value": "2", "branch": "release/*"}
    path = "/api/v1/projects/1/variables/A"
    assert api.request("PUT", path, json=body).json["data"]["branch"] == "release/*"
    assert api.request("PUT", path, json=body).status_code == 200
    assert api.request("PUT", path, json=body | {"branch": "a b"}).status_code == 422
    listed = api.get("/api/v1/projects/1/variables").json["data"]
    assert [row["branch"] for row in listed] == ["", "release/*"]
    assert api.request("DELETE", f"{path}?branch=main").status_code == 404
    assert api.request("DELETE", f"{path}?branch=release/*").status_code == 204
    listed = api.get("/api/v1/projects/1/variables").json["data"]
    assert [row["branch"] for row in listed] == [""]


def test_variables_are_removed_one_context_at_a_time(api: Running) -> None:
    live(api)
    put_variable(api, "A", "1")
    path = "/api/v1/projects/1/variables/A"
    assert api.request("DELETE", f"{path}?context=preview").status_code == 404
    assert api.request("DELETE", path).status_code == 204
    assert api.get("/api/v1/projects/1/variables").json["data"] == []


def test_a_key_is_rotated_without_losing_a_variable(start: Callable[..., Running]) -> None:
    old = start(SECRETS_KEY="old-key")
    live(old)
    put_variable(old, "A", "kept")
    both = start(SECRETS_KEY="new-key,old-key")
    assert both.post("/api/v1/variables/rotate").json == {"count": 1}
    new = start(SECRETS_KEY="new-key")
    stored = Variable.get().value
    assert sealing_from(new.settings).open(stored).reveal() == "kept"
    with pytest.raises(SystemFault, match="SECRETS_KEY"):
        sealing_from(old.settings).open(stored)


def test_production_without_a_key_keeps_no_variable(start: Callable[..., Running]) -> None:
    api = start(ENVIRONMENT="production", GITHUB_WEBHOOK_SECRET="x")
    api.token = api.new_token()
    live(api)
    answer = put_variable(api, "A", "x")
    assert (answer.status_code, answer.json["code"]) == (503, "key-missing")
    assert Variable.select().count() == 0


@pytest.mark.parametrize("name", ["1A", "A-B", "A%20B", "%C3%A9"])
def test_a_name_that_no_shell_takes_is_refused(api: Running, name: str) -> None:
    live(api)
    assert put_variable(api, name, "x").status_code == 422


def test_usage_counts_shared_contents_once(api: Running) -> None:
    live(api)
    live(api)
    data = api.get("/api/v1/usage").json["data"]
    assert len(data) == 1
    assert (data[0]["deployments"], data[0]["builds"]) == (2, 2)
    assert data[0]["stored_bytes"] == sum(map(len, SITE.values()))
    assert api.get(f"/api/v1/usage?since={now() + 60_000}").json["data"][0]["deployments"] == 0


def test_every_change_is_in_the_audit_log(api: Running) -> None:
    live(api, production="yes")
    put_variable(api, "A", "x")
    api.post("/api/v1/projects/1/domains", json={"domain": "a.example.com"})
    entries = api.get("/api/v1/audit").json["data"]
    actions = [entry["action"] for entry in entries]
    assert actions == ["domain.add", "variable.set", "deployment.create"]
    assert {entry["actor"] for entry in entries} == {"this machine"}


def test_a_token_is_shown_once_and_kept_as_a_digest(api: Running) -> None:
    made = api.post("/api/v1/tokens", json={"name": "laptop", "scope": "read"}).json["data"]
    secret = made["token"]
    listed = api.get("/api/v1/tokens")
    assert secret not in listed.text
    assert listed.json["data"][0]["beginning"] == secret[:10]
    row = Token.get_by_id(made["id"])
    assert secret not in str(row.__data__)
    api.token = secret
    assert api.get("/api/v1/projects").status_code == 200
    assert Token.get_by_id(made["id"]).last_used_at is not None


def test_a_revoked_or_expired_token_is_none(api: Running) -> None:
    made = api.post("/api/v1/tokens", json={"name": "x", "expires_in_days": 1}).json["data"]
    api.token = made["token"]
    assert api.get("/api/v1/projects").status_code == 200
    Token.update(expires_at=now() - 1).execute()
    assert api.get("/api/v1/projects").status_code == 401
    api.token = ""
    assert api.request("DELETE", f"/api/v1/tokens/{made['id']}").status_code == 204
    assert api.request("DELETE", f"/api/v1/tokens/{made['id']}").status_code == 404


SCOPED = [
    ("GET", "/api/v1/projects", Scope.READ),
    ("GET", "/api/v1/usage", Scope.READ),
    ("POST", "/api/v1/projects/1/rollback", Scope.DEPLOY),
    ("POST", "/api/v1/deployments/missing", Scope.DEPLOY),
    ("PUT", "/api/v1/projects/1/aliases/demo", Scope.DEPLOY),
    ("DELETE", "/api/v1/projects/1/aliases/demo", Scope.DEPLOY),
    ("PUT", "/api/v1/projects/1/variables/A", Scope.ADMIN),
    ("POST", "/api/v1/projects/1/domains", Scope.ADMIN),
    ("DELETE", "/api/v1/projects/1", Scope.ADMIN),
    ("GET", "/api/v1/tokens", Scope.ADMIN),
    ("POST", "/api/v1/tokens", Scope.ADMIN),
    ("GET", "/api/v1/audit", Scope.ADMIN),
]
BODIES = {
    "/api/v1/deployments/missing": {"files": {"index.html": "a" * 64}},
    "/api/v1/projects/1/aliases/demo": {"deployment_id": "dpl-none"},
    "/api/v1/projects/1/variables/A": {"value": "x"},
    "/api/v1/projects/1/domains": {"domain": "a.example.com"},
    "/api/v1/tokens": {"name": "x"},
}


@pytest.mark.parametrize(("method", "path", "needed"), SCOPED)
@pytest.mark.parametrize("given", list(Scope))
def test_each_route_asks_for_its_scope(
    api: Running, method: str, path: str, needed: Scope, given: Scope
) -> None:
    live(api)
    api.token = api.new_token(given)
    answer = api.request(method, path, json=BODIES.get(path))
    assert (answer.status_code == 403) is not given.includes(needed), answer.text


def test_a_projects_token_sees_nothing_of_other_projects(api: Running) -> None:
    mine = live(api, project="mine")
    other = live(api, project="other")
    build_id = Build.get(Build.deployment == other).id
    api.token = api.new_token(Scope.ADMIN, Deployment.get_by_id(mine).project_id)
    assert [row["name"] for row in api.get("/api/v1/projects").json["data"]] == ["mine"]
    assert [row["id"] for row in api.get("/api/v1/deployments").json["data"]] == [mine]
    assert len(api.get("/api/v1/builds").json["data"]) == 1
    assert [row["project"] for row in api.get("/api/v1/usage").json["data"]] == ["mine"]
    for path in (f"deployments/{other}", f"builds/{build_id}", "projects/2", "projects/2/aliases"):
        assert api.get(f"/api/v1/{path}").status_code == 404, path
    assert api.request("DELETE", f"/api/v1/deployments/{other}").status_code == 404
    assert api.get("/api/v1/audit").status_code == 403
    assert api.post("/api/v1/tokens", json={"name": "x"}).status_code == 403
    made = api.post("/api/v1/tokens", json={"name": "x", "project_id": 1})
    assert made.status_code == 201
    assert api.post("/api/v1/tokens", json={"name": "x", "project_id": 2}).status_code == 404


KEY = {"Idempotency-Key": "one"}


def test_a_request_with_the_same_key_is_done_once(api: Running) -> None:
    body = {"name": "docs"}
    first = api.post("/api/v1/projects", json=body, headers=KEY)
    again = api.post("/api/v1/projects", json=body, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Project.select().count() == 1


def test_an_upload_with_the_same_key_is_deployed_once(api: Running) -> None:
    content = zip_of(SITE)
    answers = [
        api.post("/deploy", data=content, content_type="application/zip", headers=KEY)
        for _ in range(2)
    ]
    assert answers[0].json == answers[1].json
    assert Deployment.select().count() == 1


def test_a_key_is_not_taken_for_another_request(api: Running) -> None:
    api.post("/api/v1/projects", json={"name": "docs"}, headers=KEY)
    other = api.post("/api/v1/projects", json={"name": "blog"}, headers=KEY)
    assert (other.status_code, other.json["code"]) == (422, "idempotency-key-reused")
    api.token = api.new_token()
    mine = api.post("/api/v1/projects", json={"name": "blog"}, headers=KEY)
    assert mine.status_code == 201


def test_a_tokens_secret_is_never_remembered(api: Running) -> None:
    tokens = [
        api.post("/api/v1/tokens", json={"name": "x"}, headers=KEY).json["data"]["token"]
        for _ in range(2)
    ]
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("PUT", "/api/v1/builds", 405), ("GET", "/deploy", 405)]
)
def test_other_methods_are_refused_with_those_that_are_allowed(
    api: Running, method: str, path: str, status: int
) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Allow"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff"])
def test_a_body_that_is_not_as_described_is_refused(api: Running, body: bytes) -> None:
    answer = api.post("/api/v1/projects", data=body, content_type="application/json")
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"


def test_a_body_that_is_too_large_is_refused(api: Running) -> None:
    answer = api.post("/api/v1/projects", data=bytes(5 << 20), content_type="application/json")
    assert answer.status_code == 413
