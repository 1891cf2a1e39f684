"""Having a repository's other projects built: what is told, and what is not asked for."""

from __future__ import annotations

from typing import Any

import pytest

from bot import events, part_builds
from bot.events import Bus
from bot.models import builds, deployments, parts, projects
from bot.models.database import Database
from bot.models.deployments import Requested
from bot.models.tables import Build

SHA = "a" * 40


class Told:
    """A bus, and the events that it was given."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.events: list[Any] = []
        for kind in (events.DeploymentCreated, events.BuildCompleted):
            self.bus.subscribe(kind, self.events.append)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def main(database: Database) -> Requested:
    """A running build of the main project."""
    with database.write():
        project_id = projects.connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        projects.move_ref(project_id, "main", SHA, 1, "")
        requested = deployments.request_build(project_id, SHA, "main", "push", "production")
        assert builds.claim(requested.build_id, "worker")
    return requested


def running(main: Requested) -> Build:
    found = deployments.find_build(main.build_id)
    assert found is not None
    return found


def test_each_named_project_gets_a_build_which_is_told_of(
    database: Database, told: Told, main: Requested
) -> None:
    asked = part_builds.request(database, told.bus, running(main), ["docs", "shop"])
    assert asked is not None
    assert [one.created for one in asked] == [True, True]
    assert told.events == [
        events.DeploymentCreated(one.deployment_id, one.build_id) for one in asked
    ]
    names = [deployments.find_build(one.build_id).deployment.project.name for one in asked]  # type: ignore[union-attr]
    assert names == ["octo/site#docs", "octo/site#shop"]


def test_nobody_wants_the_projects_of_a_commit_that_nobody_wants(
    database: Database, told: Told, main: Requested
) -> None:
    build = running(main)
    with database.write():
        assert deployments.supersede(build.deployment.project_id, "main", SHA)
    assert part_builds.request(database, told.bus, build, ["docs"]) is None
    assert told.events == []
    assert projects.by_name("octo/site#docs") is None


def test_what_is_asked_again_is_told_again_and_a_new_build_asks_for_itself(
    database: Database, told: Told, main: Requested
) -> None:
    with database.write():
        (docs,) = parts.request(main.deployment_id, ["docs"])
        assert part_builds.request_again(told.bus, main) == ()  # it was created
        again = Requested(main.deployment_id, main.build_id, created=False, ready=True)
        assert part_builds.request_again(told.bus, again) == ()
        assert told.events == [events.DeploymentCreated(docs.deployment_id, docs.build_id)]
        assert builds.claim(docs.build_id, "worker")
        assert builds.succeed(docs.build_id, "worker", {}, [])
        part_builds.request_again(told.bus, again)
    assert told.events[1:] == [events.BuildCompleted(docs.deployment_id, docs.build_id)]
