"""What the API and pages say of builds that wait, and limits that are set there."""

from __future__ import annotations

import pytest
from flask import Flask

from bot.dashboard import pages
from bot.models import builds, foresight, projects, workers
from bot.models.ids import now
from bot.models.tables import Build, Project
from bot.models.tokens import Scope
from tests.api.conftest import Running
from tests.api.test_resources import commit


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "_KEPT", -1.0)


def hire(api: Running, slots: int = 1) -> None:
    with api.database.write():
        workers.renew("wrk-1", "here", slots)


def test_a_waiting_build_knows_its_place_and_what_it_waits_for(api: Running) -> None:
    hire(api)
    running = commit(api)
    with api.database.write():
        builds.claim(running, "wrk-1:x")
    api.request("PATCH", "/api/v1/projects/1", json={"concurrency": 1})
    waiting = commit(api, "b" * 40)
    answer = api.get(f"/api/v1/builds/{waiting}").json["data"]
    assert answer["queue"] == {
        "place": 1,
        "seconds": None,
        "reason": "waiting for the project's limit of 1",
        "text": "1st in the queue, waiting for the project's limit of 1",
    }
    assert api.get(f"/api/v1/builds/{running}").json["data"]["queue"] is None
    site = Flask("test")
    site.register_blueprint(pages.blueprint(api.settings))
    client = site.test_client()
    assert "project&#39;s limit of 1" in client.get(f"/builds/{waiting}").text
    log = client.get(f"/builds/{waiting}/log")
    assert log.headers["X-Build-Queue"] == answer["queue"]["text"]
    assert "X-Build-Queue" not in client.get(f"/builds/{running}/log").headers


def test_the_queue_is_listed_in_its_order_with_what_was_measured(api: Running) -> None:
    hire(api, slots=3)
    ended = commit(api)
    with api.database.write():
        builds.claim(ended, "wrk-1:x")
    Build.update(created_at=now() - 4000, started_at=now(), status="failed").execute()
    preview, production = commit(api, "b" * 40), commit(api, "c" * 40)
    Build.update(priority=1).where(Build.id == preview).execute()
    answer = api.get("/api/v1/queue").json
    assert [row["id"] for row in answer["data"]] == [production, preview]
    assert [row["queue"]["place"] for row in answer["data"]] == [1, 2]
    assert (answer["waiting"], answer["running"]) == (2, 0)
    assert (answer["workers"], answer["slots"]) == (1, 3)
    assert answer["waited"]["builds"] == 1
    assert answer["waited"]["p50"] == pytest.approx(4.0, abs=0.5)
    assert len(api.get("/api/v1/queue?limit=1").json["data"]) == 1


def test_whoever_sees_one_project_sees_its_builds_alone(api: Running) -> None:
    mine = commit(api)
    commit(api, "b" * 40, name="other/site")
    api.token = api.new_token(Scope.READ, project_id=1)
    answer = api.get("/api/v1/queue").json
    assert [row["id"] for row in answer["data"]] == [mine]
    assert answer["waiting"] == 2


def test_a_projects_limit_is_set_taken_away_and_wakes_what_it_held_back(api: Running) -> None:
    waiting = commit(api)
    for given in (2, 0, None):
        answer = api.request("PATCH", "/api/v1/projects/1", json={"concurrency": given})
        assert answer.json["data"]["concurrency"] == given
        assert Project.get().concurrency == given
        assert api.woken == [waiting]
        api.woken.clear()
    answer = api.request("PATCH", "/api/v1/projects/1", json={"production_branch": "trunk"})
    assert answer.status_code == 200
    assert api.woken == []
    assert api.request("PATCH", "/api/v1/projects/1", json={"concurrency": -1}).status_code == 422


def test_a_project_that_is_not_well_says_what_to_do(api: Running) -> None:
    commit(api)
    assert api.get("/api/v1/projects/1").json["data"]["advice"] == ""
    with api.database.write():
        projects.set_state(["octo/site"], "suspended")
    answer = api.get("/api/v1/projects/1").json["data"]
    assert answer["state"] == "suspended"
    assert "installation is suspended" in answer["advice"]
