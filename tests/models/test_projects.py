"""Branches, pull requests and names, whatever the order in which events arrive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.models import projects
from bot.models.database import Database
from bot.models.projects import NOT_MOVED, Head, Moved
from bot.models.status import AliasKind
from bot.models.tables import Alias, Deployment, Project, PullRequest, Ref

A, B, C, ZEROS = "a" * 40, "b" * 40, "c" * 40, "0" * 40


@pytest.fixture(autouse=True)
def transaction(database: Database) -> Iterator[None]:
    with database.write():
        yield


@pytest.fixture
def project_id() -> int:
    return connect()


def connect(name: str = "octo/site", installation_id: int | None = None) -> int:
    return projects.connect_project(
        name, production_branch="main", private=False, installation_id=installation_id
    )


def deploy(project_id: int, sha: str, deployment_id: str) -> None:
    Deployment.create(
        id=deployment_id,
        project=project_id,
        sha=sha,
        source="push",
        status="ready",
        created_at=1,
        updated_at=1,
    )


def test_a_project_is_made_on_first_sight_and_brought_up_to_date_later() -> None:
    first = connect()
    again = projects.connect_project(
        "octo/site", production_branch="trunk", private=True, installation_id=5
    )
    assert first == again
    project = Project.get()
    assert (project.production_branch, project.private, project.installation_id) == (
        "trunk",
        True,
        5,
    )


def test_an_event_without_an_installation_takes_none_away() -> None:
    connect(installation_id=5)
    connect(installation_id=None)
    assert Project.get().installation_id == 5


def test_a_push_brings_a_suspended_project_back() -> None:
    connect()
    projects.set_state(["octo/site"], "suspended")
    connect()
    assert Project.get().state == "active"


@pytest.mark.parametrize(
    ("sha", "moved_at", "before", "moved", "head"),
    [
        (C, 2000, B, Moved(True, replaced=B), C),
        (C, 2000, A, Moved(True, replaced=B), C),  # forced
        (C, 1000, B, Moved(True, replaced=B), C),  # in the same second, but it follows
        (C, 1000, A, NOT_MOVED, B),
        (C, 999, B, NOT_MOVED, B),
        (B, 1, A, Moved(True), B),  # old news of what is known
    ],
)
def test_a_branch_moves_to_what_is_newer(
    project_id: int, sha: str, moved_at: int, before: str, moved: Moved, head: str
) -> None:
    projects.move_ref(project_id, "topic", B, 1000, A)
    assert projects.move_ref(project_id, "topic", sha, moved_at, before) == moved
    assert Ref.get().sha == head


def test_a_branch_that_moves_back_is_not_moved_on_again_by_what_lay_between(
    project_id: int,
) -> None:
    projects.move_ref(project_id, "topic", A, 1000, ZEROS)
    projects.move_ref(project_id, "topic", A, 3000, B)  # A → B → A; this came first
    assert projects.move_ref(project_id, "topic", B, 2000, A) == NOT_MOVED


def test_a_branch_is_gone_once_and_comes_back_by_a_later_push(project_id: int) -> None:
    projects.move_ref(project_id, "topic", A, 1000, ZEROS)
    assert projects.delete_ref(project_id, "topic", 2000, A) == Moved(True, replaced=A)
    assert projects.delete_ref(project_id, "topic", 2000) == Moved(True)
    assert projects.move_ref(project_id, "topic", B, 1500, A) == NOT_MOVED
    assert Ref.get().deleted
    # Made anew within the second in which it was deleted.
    assert projects.move_ref(project_id, "topic", C, 2000, ZEROS) == Moved(True)
    assert (Ref.get().sha, Ref.get().deleted) == (C, False)


def test_a_late_deletion_does_not_touch_a_branch_that_was_made_anew(project_id: int) -> None:
    projects.move_ref(project_id, "topic", C, 2000, ZEROS)
    assert projects.delete_ref(project_id, "topic", 1000) == NOT_MOVED
    assert projects.delete_ref(project_id, "topic", 2000, A) == NOT_MOVED
    assert not Ref.get().deleted


def test_a_deletion_that_arrives_first_is_remembered(project_id: int) -> None:
    assert projects.delete_ref(project_id, "topic", 2000, A) == Moved(True)
    assert projects.move_ref(project_id, "topic", A, 1000, ZEROS) == NOT_MOVED


def test_a_pull_request_follows_its_newest_event(project_id: int) -> None:
    def move(sha: str, moved_at: int, *, reopened: bool = False) -> Moved:
        head = Head(sha, "topic", fork=False)
        return projects.move_pull_request(project_id, 7, head, moved_at, reopened=reopened)

    assert move(A, 1000) == Moved(True)
    assert move(B, 2000) == Moved(True, replaced=A)
    assert move(C, 1500) == NOT_MOVED
    assert PullRequest.get().head_sha == B
    head = Head(B, "topic", fork=False)
    assert projects.close_pull_request(project_id, 7, head, 1500) is None
    assert projects.close_pull_request(project_id, 7, head, 2000) == PullRequest.get().id
    assert projects.close_pull_request(project_id, 7, head, 3000) is None
    assert move(B, 2000) == NOT_MOVED
    assert move(B, 2000, reopened=True) == Moved(True)
    assert PullRequest.get().open


def test_a_closing_that_arrives_first_is_remembered(project_id: int) -> None:
    head = Head(A, "topic", fork=True)
    assert projects.close_pull_request(project_id, 7, head, 2000) is not None
    assert projects.move_pull_request(project_id, 7, head, 1000) == NOT_MOVED
    assert not PullRequest.get().open


def test_a_comment_stays_known_when_its_pull_request_moves(project_id: int) -> None:
    projects.move_pull_request(project_id, 7, Head(A, "topic", fork=False), 1000)
    PullRequest.update(comment_id=99).execute()
    projects.move_pull_request(project_id, 7, Head(B, "topic", fork=False), 2000)
    found = PullRequest.get()
    assert (found.head_sha, found.comment_id) == (B, 99)


def test_every_name_whose_head_is_the_commit_leads_to_its_deployment(project_id: int) -> None:
    projects.move_ref(project_id, "main", A, 1, ZEROS)
    projects.move_ref(project_id, "topic", A, 1, ZEROS)
    projects.move_ref(project_id, "elsewhere", B, 1, ZEROS)
    projects.move_ref(project_id, "gone", A, 1, ZEROS)
    projects.delete_ref(project_id, "gone", 2)
    projects.move_pull_request(project_id, 7, Head(A, "topic", fork=False), 1)
    projects.close_pull_request(project_id, 8, Head(A, "topic", fork=False), 1)
    other = connect("octo/other")
    projects.move_ref(other, "main", A, 1, ZEROS)
    deploy(project_id, A, "dpl-a")
    projects.point_aliases("dpl-a")
    assert {(a.kind, a.name, a.deployment_id) for a in Alias.select()} == {
        (AliasKind.BRANCH, "main", "dpl-a"),
        (AliasKind.PRODUCTION, "production", "dpl-a"),
        (AliasKind.BRANCH, "topic", "dpl-a"),
        (AliasKind.PULL_REQUEST, "7", "dpl-a"),
    }


def test_an_older_build_that_ends_later_takes_no_name_away(project_id: int) -> None:
    deploy(project_id, A, "dpl-a")
    deploy(project_id, B, "dpl-b")
    projects.move_ref(project_id, "main", A, 1, ZEROS)
    projects.move_ref(project_id, "main", B, 2, A)
    projects.point_aliases("dpl-b")
    projects.point_aliases("dpl-a")
    assert {alias.deployment_id for alias in Alias.select()} == {"dpl-b"}


def test_a_name_leads_to_one_deployment_at_a_time(project_id: int) -> None:
    deploy(project_id, A, "dpl-a")
    deploy(project_id, B, "dpl-b")
    projects.point_alias(project_id, AliasKind.BRANCH, "topic", "dpl-a")
    projects.point_alias(project_id, AliasKind.BRANCH, "topic", "dpl-b")
    assert [alias.deployment_id for alias in Alias.select()] == ["dpl-b"]


def test_installations_with_thousands_of_repositories(project_id: int) -> None:
    names = [f"octo/r{number}" for number in range(40_000)] + ["octo/site"]
    projects.adopt_installation(names, 5)
    assert Project.get().installation_id == 5
    assert projects.set_installation_state(5, "suspended") == 1
    projects.set_state(names, "removed")
    assert Project.get().state == "removed"
    assert projects.set_installation_state(6, "active") == 0
