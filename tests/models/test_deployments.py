"""Asking for builds, giving them up, and finding them again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.models import builds, deployments, facts, projects
from bot.models.database import Database
from bot.models.projects import Head
from bot.models.status import BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment, Project

A, B, ZEROS = "a" * 40, "b" * 40, "0" * 40


@pytest.fixture(autouse=True)
def transaction(database: Database) -> Iterator[None]:
    with database.write():
        yield


@pytest.fixture
def project_id() -> int:
    return projects.connect_project(
        "octo/site", production_branch="main", private=True, installation_id=5
    )


def request(
    project_id: int, sha: str = A, ref: str = "topic", environment: str = "preview"
) -> deployments.Requested:
    return deployments.request_build(project_id, sha, ref, "push", environment)


def enter(build_id: str, *statuses: BuildStatus) -> None:
    assert builds.claim(build_id, "worker")
    for status in statuses:
        assert builds.advance(build_id, "worker", status)


def end(build_id: str, status: BuildStatus) -> None:
    enter(build_id)
    if status is BuildStatus.READY:
        builds.succeed(build_id, "worker", {}, [])
    else:
        builds.fail(build_id, "worker", status, "code", "why", {})


def test_a_commit_gets_one_build() -> None:
    first = projects.connect_project(
        "octo/one", production_branch="main", private=False, installation_id=None
    )
    second = projects.connect_project(
        "octo/two", production_branch="main", private=False, installation_id=None
    )
    one, again, other = request(first), request(first, ref="else"), request(second)
    assert (one.created, again.created, other.created) == (True, False, True)
    assert one.build_id == again.build_id != other.build_id


@pytest.mark.parametrize(
    ("status", "created", "ready"),
    [
        (BuildStatus.READY, False, True),
        (BuildStatus.FAILED, False, False),
        (BuildStatus.ERRORED, False, False),
        (BuildStatus.TIMED_OUT, False, False),
        (BuildStatus.CANCELLED, True, False),
        (BuildStatus.SUPERSEDED, True, False),
    ],
)
def test_an_ended_build_is_repeated_only_where_nobody_let_it_end(
    project_id: int, status: BuildStatus, created: bool, ready: bool
) -> None:
    first = request(project_id)
    end(first.build_id, status)
    again = request(project_id)
    assert (again.created, again.ready) == (created, ready)
    assert (again.build_id != first.build_id) is created
    if created:
        assert Deployment.get().status == DeploymentStatus.PENDING


def test_a_preview_that_reaches_production_gets_an_entry_of_its_own(project_id: int) -> None:
    request(project_id)
    Deployment.update(remote_id=12).execute()
    request(project_id, ref="main", environment="production")
    found = Deployment.get()
    assert (found.environment, found.ref, found.remote_id) == ("production", "main", None)
    request(project_id)
    assert Deployment.get().environment == "production"


def test_a_skipped_commit_stays_skipped_and_a_built_one_stays_built(project_id: int) -> None:
    deployments.skip(project_id, A, "topic")
    assert request(project_id) == deployments.Requested(
        Deployment.get().id, "", created=False, ready=False
    )
    built = request(project_id, sha=B)
    deployments.skip(project_id, B, "topic")
    assert request(project_id, sha=B).build_id == built.build_id


def test_a_retry_makes_another_build_unless_one_is_under_way(project_id: int) -> None:
    first = request(project_id)
    assert deployments.retry_build(first.deployment_id).build_id == first.build_id
    end(first.build_id, BuildStatus.FAILED)
    second = deployments.retry_build(first.deployment_id)
    assert second.created
    assert Deployment.get().status == DeploymentStatus.PENDING
    newest = deployments.newest_build(first.deployment_id)
    assert newest is not None
    assert newest.id == second.build_id


@pytest.mark.parametrize(
    ("environment", "states", "given_up"),
    [
        ("preview", None, True),
        ("preview", (), True),
        ("preview", (BuildStatus.BUILDING,), True),
        ("preview", (BuildStatus.PUBLISHING,), True),
        ("production", None, True),
        ("production", (BuildStatus.BUILDING,), True),
        ("production", (BuildStatus.PUBLISHING,), False),
    ],
)
def test_what_a_branch_left_behind_is_given_up_unless_production_is_publishing(
    project_id: int, environment: str, states: tuple[BuildStatus, ...] | None, given_up: bool
) -> None:
    asked = request(project_id, environment=environment)
    if states is not None:
        enter(asked.build_id, *states)
    expected = [(asked.deployment_id, asked.build_id)] if given_up else []
    assert deployments.supersede(project_id, "topic", A) == expected
    build = Build.get()
    assert (build.status == BuildStatus.SUPERSEDED) is given_up
    assert (build.completed_at is not None) is given_up
    if given_up:
        assert Deployment.get().status == DeploymentStatus.FAILED
        assert not builds.renew(asked.build_id, "worker")


@pytest.mark.parametrize("status", [BuildStatus.READY, BuildStatus.FAILED])
def test_what_has_ended_stays_as_it_ended(project_id: int, status: BuildStatus) -> None:
    asked = request(project_id)
    end(asked.build_id, status)
    assert deployments.supersede(project_id, "topic", A) == []
    assert Build.get().status == status


def test_a_commit_that_others_point_at_is_still_wanted(project_id: int) -> None:
    asked = request(project_id)

    def given_up() -> bool:
        return deployments.supersede(project_id, "topic", A) != []

    projects.move_ref(project_id, "other", A, 1, ZEROS)
    assert not given_up()
    projects.delete_ref(project_id, "other", 2)
    projects.move_pull_request(project_id, 8, Head(A, "topic", fork=True), 1)
    assert not given_up()
    projects.close_pull_request(project_id, 8, Head(A, "topic", fork=True), 2)
    # The branch's own pull request moves with it, be it told of that or not.
    projects.move_pull_request(project_id, 7, Head(A, "topic", fork=False), 1)
    assert given_up()
    assert Build.get_by_id(asked.build_id).status == BuildStatus.SUPERSEDED


def test_a_build_is_found_as_the_query_builder_finds_it(project_id: int) -> None:
    asked = request(project_id)
    found = deployments.find_build(asked.build_id)
    assert found is not None
    assert deployments.find_build("bld-none") is None
    expected = (Build.get(), Deployment.get(), Project.get())
    for mine, theirs in zip(
        (found, found.deployment, found.deployment.project), expected, strict=True
    ):
        assert mine.__data__ == theirs.__data__
        assert not mine.is_dirty()
    assert found.deployment.project.private is True


def test_the_newest_builds_come_first(project_id: int) -> None:
    first = request(project_id)
    end(first.build_id, BuildStatus.FAILED)
    second = deployments.retry_build(first.deployment_id)
    third = request(project_id, sha=B)
    # Within a millisecond the ids decide, which are random there.
    for time, asked in enumerate((first, second, third)):
        Build.update(created_at=time).where(Build.id == asked.build_id).execute()

    def ids(found: list[Build]) -> list[str]:
        return [build.id for build in found]

    assert ids(deployments.builds_of_commit(A)) == [second.build_id, first.build_id]
    assert ids(deployments.recent_builds()) == [third.build_id, second.build_id, first.build_id]
    assert ids(deployments.recent_builds(1)) == [third.build_id]
    newest = facts.of_commit(project_id, A)
    assert newest is not None
    assert newest.build_id == second.build_id
    assert facts.of_commit(project_id + 1, A) is None
