"""How long deployments are kept, why one is, and taking away what is not: over the API."""

from __future__ import annotations

from typing import Any

import pytest

from bot.models import chores
from bot.models.ids import now
from bot.models.retention import DAY
from bot.models.tables import AuditEntry, Deployment
from bot.models.tokens import Scope
from tests.api.conftest import Running
from tests.api.test_deploy import SITE, upload
from tests.api.test_resources import live
from tests.uploads.archives import zip_of


def old(api: Running, days: int = 100) -> str:
    """An upload that nobody has used since it was made."""
    made = str(upload(api, zip_of(SITE | {"own.txt": f"{days} days"})).json["deployment_id"])
    then = now() - days * DAY
    Deployment.update(created_at=then, updated_at=then).where(Deployment.id == made).execute()
    return made


def gc(api: Running, query: str = "", **body: Any) -> Any:
    answer = api.post(f"/api/v1/gc{query}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json["data"]


@pytest.mark.parametrize("asked", [("?dry_run", {}), ("?dry_run=1", {}), ("", {"dry_run": True})])
def test_a_dry_run_says_what_would_go_and_changes_nothing(
    api: Running, asked: tuple[str, dict[str, bool]]
) -> None:
    made, kept = old(api), live(api, production="yes")
    found = gc(api, asked[0], **asked[1])
    assert found["dry_run"] is True
    assert [row["id"] for row in found["deployments"]] == [made]
    row = found["deployments"][0]
    assert row["bytes"] == len("100 days")
    assert "nobody visits it" in row["because"]
    assert (row["project"], row["sha"]) == ("site", None)
    assert found["held"] > 0
    for deployment in (made, kept):
        assert api.get(f"/api/v1/deployments/{deployment}").json["data"]["status"] == "ready"
    assert api.get("/api/v1/gc").json["data"]["at"] is None


def test_gc_needs_no_body(api: Running) -> None:
    assert api.post("/api/v1/gc?dry_run").json["data"]["dry_run"] is True
    assert api.post("/api/v1/gc").json["data"]["dry_run"] is False
    unreadable = {"data": b"{dry_run: true}", "content_type": "application/json"}
    assert api.post("/api/v1/gc", **unreadable).status_code == 422


def test_what_expired_is_gone_and_the_run_is_reported(api: Running) -> None:
    made = old(api)
    assert [row["id"] for row in gc(api)["deployments"]] == [made]
    assert api.get(f"/api/v1/deployments/{made}").json["data"]["status"] == "expired"
    assert api.get(f"/api/v1/deployments/{made}/files").json["data"] == []
    kept = api.get(f"/api/v1/deployments/{made}/kept").json["data"]
    assert kept == {"status": "expired", "needed": False, "reasons": [], "expires_at": None}
    last = api.get("/api/v1/gc").json["data"]
    assert (last["deployments"], last["problem"]) == (1, "")
    assert last["at"] > now() - 60_000
    entry = AuditEntry.select().order_by(AuditEntry.id.desc()).get()
    assert entry.action == "storage.collect"
    assert '"deployments": 1' in entry.details


def test_somebody_else_may_be_at_it(api: Running) -> None:
    chores.take("retention", "a worker")
    assert api.post("/api/v1/gc", json={}).status_code == 409
    assert api.post("/api/v1/gc?dry_run", json={}).status_code == 200


def test_a_project_may_keep_for_longer_or_shorter(api: Running) -> None:
    made = old(api, days=5)
    path = "/api/v1/projects/1/retention"
    assert api.get(path).json["data"] == {
        "closed_days": 30, "idle_days": 90, "production_kept": 10, "failed_days": 30,
        "own": {
            "closed_days": None, "idle_days": None, "production_kept": None, "failed_days": None,
        },
    }  # fmt: skip
    changed = api.request("PUT", path, json={"idle_days": 3}).json["data"]
    assert (changed["idle_days"], changed["own"]["idle_days"]) == (3, 3)
    assert changed["closed_days"] == 30
    assert [row["id"] for row in gc(api, "?dry_run")["deployments"]] == [made]
    assert api.request("DELETE", path).status_code == 204
    assert gc(api, "?dry_run")["deployments"] == []
    for bad in ({"idle_days": -1}, {"idle_days": 10**9}, {"days": 3}):
        assert api.request("PUT", path, json=bad).status_code == 422


def test_why_a_deployment_is_kept(api: Running) -> None:
    production, preview = live(api, production="yes"), old(api, days=80)
    kept = api.get(f"/api/v1/deployments/{production}/kept").json["data"]
    assert (kept["needed"], kept["status"]) == (True, "ready")
    assert kept["reasons"] == [
        "production leads to it", "it is one of the newest 10 of production",
    ]  # fmt: skip
    kept = api.get(f"/api/v1/deployments/{preview}/kept").json["data"]
    assert kept["needed"] is False
    assert kept["reasons"] == ["no name leads to it and nobody visits it; it goes in 10 days"]
    assert kept["expires_at"] > now()
    assert api.get("/api/v1/deployments/dpl-none/kept").status_code == 404


def test_owners_say_how_long_and_administrators_take_away(api: Running) -> None:
    live(api)
    api.token = api.new_token(Scope.DEPLOY, project_id=1)
    assert api.get("/api/v1/projects/1/retention").status_code == 200
    assert api.request("PUT", "/api/v1/projects/1/retention", json={}).status_code == 403
    assert api.request("DELETE", "/api/v1/projects/1/retention").status_code == 403
    api.token = api.new_token(Scope.ADMIN, project_id=1)
    assert api.request("PUT", "/api/v1/projects/1/retention", json={}).status_code == 200
    assert api.post("/api/v1/gc", json={}).status_code == 403
    assert api.get("/api/v1/gc").status_code == 403
