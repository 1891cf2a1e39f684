"""The dashboard's queue, what was given up, and projects that are not well."""

from __future__ import annotations

import pytest

from bot.models import dead_letters, deployments, foresight, inbox, projects, workers
from bot.models.tables import AuditEntry, Delivery
from bot.models.tokens import Scope
from tests.dashboard.conftest import Desk


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "_KEPT", -1.0)


def test_the_queue_shows_what_waits_and_what_for(desk: Desk) -> None:
    desk.sign_in()
    assert "Nothing waits." in desk.get("/queue").text
    with desk.database.write():
        project_id = projects.connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        deployments.request_build(project_id, "c" * 40, "topic<b>", "push", "preview")
        workers.renew("wrk-1", "here", 2)
    page = desk.get("/queue").text
    assert "1 wait, 0 run. 1 worker with 2 slots." in page
    assert "1st in the queue, about to begin" in page
    assert "topic&lt;b&gt;" in page


def test_what_was_given_up_is_shown_and_tried_again_by_administrators_alone(desk: Desk) -> None:
    with desk.database.write():
        inbox.fail("delivery-1", "ping", "", "{}", "<script>a defect</script>")
    desk.sign_in()
    assert 'href="/dead-letters"' in desk.get("/").text
    page = desk.get("/dead-letters").text
    assert "&lt;script&gt;a defect" in page
    assert "<script>" not in page
    answer = desk.post("/dead-letters/replay", {"id": "delivery-1"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/dead-letters")
    assert Delivery.get().outcome == "ignored"
    assert AuditEntry.select().where(AuditEntry.action == "dead-letter.replay").count() == 1
    assert dead_letters.listed(10) == []
    assert "Nothing was given up." in desk.get("/dead-letters").text
    assert desk.post("/dead-letters/replay", {"id": "msg-7"}).status_code == 409


@pytest.mark.parametrize("scope", [Scope.READ, Scope.DEPLOY])
def test_others_see_nothing_of_what_was_given_up(desk: Desk, scope: Scope) -> None:
    desk.sign_in(scope)
    assert 'href="/dead-letters"' not in desk.get("/").text
    assert desk.get("/dead-letters").status_code == 403
    assert desk.post("/dead-letters/replay", {"id": "x"}).status_code == 403


def test_a_project_that_is_not_well_says_what_to_do(desk: Desk) -> None:
    desk.sign_in()
    with desk.database.write():
        project_id = projects.connect_project(
            "octo/hurt", production_branch="main", private=False, installation_id=None
        )
        projects.set_state(["octo/hurt"], "forbidden", "Resource not accessible")
    page = desk.get(f"/projects/{project_id}").text
    assert "This project is forbidden" in page
    assert "GitHub said: Resource not accessible" in page
    assert "forbidden" in desk.get("/").text
