"""Repositories that are renamed, archived, deleted or handed over, and suspended installations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.events import Bus
from bot.models import projects
from bot.models.database import Database
from bot.models.group_commit import GroupCommit
from bot.models.tables import Project
from bot.project_states import ProjectState, advice
from bot.settings import Settings
from bot.webhooks import events
from bot.webhooks.intake import Intake
from bot.webhooks.outcome import Outcome
from tests.webhooks.payloads import encode, push, repository


@pytest.fixture
def receive(settings: Settings, database: Database) -> Callable[..., Outcome]:
    intake = Intake(settings, GroupCommit(database), Bus(), lambda _build_ids: None)
    numbers = iter(range(1000))

    def receive(name: str, payload: dict[str, Any]) -> Outcome:
        event = events.parse(name, "application/json", encode(payload))
        return intake.take(f"delivery-{next(numbers)}", name, "", event)

    return receive


def changed(action: str, name: str = "octo/site", **more: Any) -> dict[str, Any]:
    return {"action": action, "repository": repository(name)} | more


def state() -> tuple[str, str]:
    project = Project.get()
    return project.name, project.state


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("deleted", ProjectState.REMOVED),
        ("archived", ProjectState.ARCHIVED),
        ("unarchived", ProjectState.ACTIVE),
    ],
)
def test_what_happens_to_a_repository_is_a_state_of_its_project(
    receive: Callable[..., Outcome], action: str, expected: ProjectState
) -> None:
    receive("push", push())
    outcome = receive("repository", changed(action))
    assert (outcome.accepted, outcome.reason) == (True, f"octo/site is now {expected}")
    assert state() == ("octo/site", expected)
    receive("push", push(after="c" * 40, before="b" * 40))
    assert state() == ("octo/site", "active")


RENAMED = {"changes": {"repository": {"name": {"from": "site"}}}}
HANDED = {"changes": {"owner": {"from": {"organization": {"login": "octo"}}}}}
BY_USER = {"changes": {"owner": {"from": {"user": {"login": "octo"}}}}}


@pytest.mark.parametrize(
    ("action", "name", "more"),
    [
        ("renamed", "octo/page", RENAMED),
        ("transferred", "acme/site", HANDED),
        ("transferred", "acme/site", BY_USER),
    ],
)
def test_a_repository_that_is_called_otherwise_keeps_its_project_and_its_parts(
    receive: Callable[..., Outcome], database: Database, action: str, name: str, more: Any
) -> None:
    receive("push", push())
    main = Project.get()
    Project.create(
        name="octo/site#docs", main=main.id, created_at=1, updated_at=1, production_branch="main"
    )
    outcome = receive("repository", changed(action, name, **more))
    assert outcome.reason == f"octo/site is called {name} now"
    assert {row.name for row in Project.select()} == {name, f"{name}#docs"}
    receive("push", push(repository=repository(name), after="c" * 40, before="b" * 40))
    assert Project.select().count() == 2


def test_a_push_under_the_new_name_that_was_faster_than_the_renaming_leaves_two_projects(
    receive: Callable[..., Outcome],
) -> None:
    receive("push", push())
    receive("push", push(repository=repository("octo/page")))
    assert receive("repository", changed("renamed", "octo/page", **RENAMED)).accepted
    old = Project.get(Project.name == "octo/site")
    assert (old.state, old.state_note) == (
        "removed",
        "It is called octo/page now, which is another project here.",
    )
    assert "octo/page" in advice(old.state, old.state_note)
    assert Project.get(Project.name == "octo/page").state == "active"


def test_a_repository_that_becomes_private_is_private_here_at_once(
    receive: Callable[..., Outcome],
) -> None:
    receive("push", push())
    hidden = {"action": "privatized", "repository": repository(private=True)}
    assert receive("repository", hidden).accepted
    assert Project.get().private


def test_changes_of_what_is_not_connected_or_of_no_consequence_are_ignored(
    receive: Callable[..., Outcome],
) -> None:
    assert receive("repository", changed("archived")).reason == "the repository is not connected"
    assert not receive("repository", changed("created")).accepted
    assert Project.select().count() == 0


def test_a_suspended_installation_is_a_state_until_it_is_lifted(
    receive: Callable[..., Outcome],
) -> None:
    receive("push", push(installation={"id": 5}))
    receive("installation", {"action": "suspend", "installation": {"id": 5}})
    assert state() == ("octo/site", "suspended")
    receive("installation", {"action": "unsuspend", "installation": {"id": 5}})
    assert state() == ("octo/site", "active")


def test_a_push_does_not_hide_that_github_refuses_us(
    receive: Callable[..., Outcome], database: Database
) -> None:
    receive("push", push())
    with database.write():
        projects.set_state(["octo/site"], ProjectState.FORBIDDEN, "Resource not accessible")
    receive("push", push(after="c" * 40, before="b" * 40))
    changes = {"after": "d" * 40, "before": "c" * 40}
    receive("push", push(repository=repository(private=True), **changes))
    project = Project.get()
    assert (project.state, project.state_note) == ("forbidden", "Resource not accessible")
    assert project.private


def test_every_state_but_the_good_one_says_what_to_do() -> None:
    for one in ProjectState:
        assert bool(advice(one)) is (one is not ProjectState.ACTIVE)
    assert advice("forbidden", "Not accessible").endswith("GitHub said: Not accessible")
    assert advice("unheard-of") == ""
