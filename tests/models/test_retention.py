"""Which deployments go, and why the others stay."""

from __future__ import annotations

from typing import Any

import pytest

from bot.models import deployments, projects, retention
from bot.models.database import Database
from bot.models.retention import DAY, Candidate, Facts, Policy, decide
from bot.models.status import AliasKind, DeploymentStatus
from bot.models.tables import Deployment, PullRequest, Ref

POLICY = Policy(preview_days=30, production_kept=2)
NOW = 1000 * DAY
LONG_AGO, LATELY = NOW - 31 * DAY, NOW - 29 * DAY


def facts(one: Candidate, **given: Any) -> Facts:
    known: dict[str, Any] = {"building": frozenset(), "aliases": {}, "branches": {}}
    return Facts(live=(one,), **(known | given))


def preview(sha: str = "a", ref: str = "topic") -> Candidate:
    return Candidate("dpl-1", sha, ref, production=False, created_at=1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"aliases": {"dpl-1": (("production", "production"),)}}, "production leads to it"),
        (
            {
                "aliases": {"dpl-1": (("branch", "topic"),)},
                "branches": {"topic": ("b", None)},
            },
            "the branch topic leads to it",
        ),
        (
            {
                "aliases": {"dpl-1": (("pull request", "5"),)},
                "pull_requests": {5: ("b", "topic", None)},
            },
            "the pull request 5 leads to it",
        ),
        ({"aliases": {"dpl-1": (("domain", "x.org"),)}}, "x.org leads to it"),
        ({"branches": {"topic": ("a", None)}}, "it is the newest commit of the branch topic"),
        (
            {"pull_requests": {5: ("a", "topic", None)}},
            "it is the newest commit of the open pull request 5",
        ),
        (
            {
                "building": frozenset({"dpl-1"}),
                "branches": {"topic": ("b", LONG_AGO)},
            },
            "a build of it is queued or running",
        ),
    ],
)
def test_what_is_needed_is_kept_and_says_why(given: dict[str, Any], reason: str) -> None:
    assert decide(facts(preview(), **given), POLICY)["dpl-1"].reasons == (reason,)


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        ({"branches": {"topic": ("a", LONG_AGO)}}, True),
        ({"branches": {"topic": ("a", LATELY)}}, False),
        ({"pull_requests": {5: ("a", "topic", LONG_AGO)}}, True),
        ({"pull_requests": {5: ("a", "topic", LATELY)}}, False),
        # One of them is still there, or ended lately.
        (
            {
                "branches": {"topic": ("b", None)},
                "pull_requests": {5: ("a", "topic", LONG_AGO)},
            },
            False,
        ),
        (
            {
                "branches": {"topic": ("a", LONG_AGO)},
                "pull_requests": {5: ("a", "topic", LATELY)},
            },
            False,
        ),
        # Its name leads to it still, but the branch is gone.
        (
            {
                "branches": {"topic": ("a", LONG_AGO)},
                "aliases": {"dpl-1": (("branch", "topic"),)},
            },
            True,
        ),
        # Nothing is known of what it belongs to.
        ({}, False),
    ],
)
def test_a_preview_outlives_its_branch_for_so_many_days(given: dict[str, Any], gone: bool) -> None:
    assert decide(facts(preview(), **given), POLICY)["dpl-1"].expired(NOW) is gone


def test_an_upload_belongs_to_no_pull_request_without_a_commit() -> None:
    upload = preview(sha="", ref="")
    given = facts(upload, pull_requests={5: ("", "", LONG_AGO)})
    assert decide(given, POLICY)["dpl-1"].expires_at is None


def test_the_newest_of_production_are_kept() -> None:
    live = tuple(Candidate(f"dpl-{n}", str(n), "main", True, 10 - n) for n in range(4))
    given = Facts(live, frozenset(), {}, {"main": ("none", LONG_AGO)})
    kept = [id_ for id_, verdict in decide(given, POLICY).items() if verdict.kept]
    assert kept == ["dpl-0", "dpl-1"]


@pytest.fixture
def project_id(database: Database) -> int:
    with database.write():
        return projects.connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )


def live(database: Database, project_id: int, sha: str, ref: str) -> str:
    with database.write():
        requested = deployments.request_build(project_id, sha, ref, "push", "preview")
        Deployment.update(status=DeploymentStatus.READY).where(
            Deployment.id == requested.deployment_id
        ).execute()
        deployments.sql.execute("UPDATE builds SET status = 'ready'")
    return requested.deployment_id


def test_what_expired_is_marked_as_deleted_and_the_rest_says_why_it_stays(
    database: Database, project_id: int
) -> None:
    old = live(database, project_id, "a" * 40, "gone")
    current = live(database, project_id, "b" * 40, "topic")
    with database.write():
        Ref.create(project=project_id, name="gone", sha="a" * 40, deleted=True, moved_at=LONG_AGO)
        Ref.create(project=project_id, name="topic", sha="b" * 40, moved_at=LONG_AGO)
        projects.point_alias(project_id, AliasKind.BRANCH, "gone", old)
    assert retention.why_kept(project_id, old, POLICY, NOW) == []
    assert retention.why_kept(project_id, old, POLICY, LONG_AGO) == [
        "its branch or pull request has ended; it goes in 30 days"
    ]
    with database.write():
        assert retention.remove_expired(project_id, POLICY, NOW) == [old]
    assert Deployment.get_by_id(old).status == DeploymentStatus.DELETED
    assert Deployment.get_by_id(current).status == DeploymentStatus.READY
    assert retention.why_kept(project_id, current, POLICY, NOW) == [
        "it is the newest commit of the branch topic"
    ]


def test_what_is_led_to_after_it_expired_stays(database: Database, project_id: int) -> None:
    old = live(database, project_id, "a" * 40, "gone")
    with database.write():
        PullRequest.create(
            project=project_id, number=5, head_sha="a" * 40, head_ref="gone", open=False,
            moved_at=LONG_AGO,
        )  # fmt: skip
    assert retention.expired(project_id, POLICY, NOW) == [old]
    with database.write():
        projects.point_alias(project_id, AliasKind.PRODUCTION, "production", old)
    with database.write():
        assert retention.remove_expired(project_id, POLICY, NOW) == []
