"""Which deployments go, and why the others stay."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bot.models import (
    builds,
    changes,
    chores,
    deployments,
    forgetting,
    policies,
    projects,
    retention,
    traffic,
)
from bot.models.database import Database
from bot.models.ids import now
from bot.models.retention import DAY, Candidate, Facts, Kept, Policy, decide
from bot.models.status import AliasKind, BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment, PullRequest, Ref

POLICY = Policy(closed_days=30, production_kept=2)
NOW = 1000 * DAY
LONG_AGO, LATELY = NOW - 31 * DAY, NOW - 29 * DAY


def facts(one: Candidate, **given: Any) -> Facts:
    known: dict[str, Any] = {"building": frozenset(), "aliases": {}, "branches": {}}
    return Facts(live=(one,), **(known | given))


def preview(sha: str = "a", ref: str = "topic") -> Candidate:
    return Candidate("dpl-1", sha, ref, production=False, live_at=1)


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


def test_what_expired_is_marked_so_and_the_rest_says_why_it_stays(
    database: Database, project_id: int
) -> None:
    old = live(database, project_id, "a" * 40, "gone")
    current = live(database, project_id, "b" * 40, "topic")
    with database.write():
        Ref.create(project=project_id, name="gone", sha="a" * 40, deleted=True, moved_at=LONG_AGO)
        Ref.create(project=project_id, name="topic", sha="b" * 40, moved_at=LONG_AGO)
        projects.point_alias(project_id, AliasKind.BRANCH, "gone", old)
    due = retention.going(project_id, POLICY, NOW)
    assert [(one.id, one.due, one.because) for one in due] == [
        (old, True, "its branch or pull request has ended")
    ]
    kept = retention.why_kept(project_id, old, POLICY, LONG_AGO)
    assert kept == Kept(
        ("its branch or pull request has ended; it goes in 30 days",), False, LONG_AGO + 30 * DAY
    )
    assert retention.why_kept(project_id, old, POLICY, NOW).reasons == ()
    with database.write():
        assert retention.remove(project_id, POLICY, [old, current]) == [old]
    assert Deployment.get_by_id(old).status == DeploymentStatus.EXPIRED
    assert Deployment.get_by_id(current).status == DeploymentStatus.READY
    assert retention.why_kept(project_id, current, POLICY, NOW) == Kept(
        ("it is the newest commit of the branch topic",), needed=True
    )


def test_what_is_led_to_after_it_expired_stays(database: Database, project_id: int) -> None:
    old = live(database, project_id, "a" * 40, "gone")
    with database.write():
        PullRequest.create(
            project=project_id, number=5, head_sha="a" * 40, head_ref="gone", open=False,
            moved_at=LONG_AGO,
        )  # fmt: skip
    assert [one.id for one in retention.going(project_id, POLICY, NOW)] == [old]
    with database.write():
        projects.point_alias(project_id, AliasKind.PRODUCTION, "production", old)
    with database.write():
        assert retention.remove(project_id, POLICY, [old]) == []


def test_what_nobody_visits_goes_and_what_is_visited_stays(
    database: Database, project_id: int
) -> None:
    idle = Policy(idle_days=10)
    unvisited = live(database, project_id, "a" * 40, "topic")
    visited = live(database, project_id, "b" * 40, "topic")
    later = now() + 11 * DAY
    with database.write():
        Ref.create(project=project_id, name="topic", sha="c" * 40, moved_at=now())
        traffic.add(visited, later - DAY, 2, 1, 100)
        traffic.add(unvisited, later - DAY, 4, 1, 100)  # was not let in
    found = {one.id: one.due for one in retention.going(project_id, idle, later)}
    assert found == {unvisited: True, visited: False}
    assert [one.id for one in retention.going(project_id, idle, later)] == [unvisited, visited]
    kept = retention.why_kept(project_id, visited, idle, later)
    assert kept.reasons == ("no name leads to it and nobody visits it; it goes in 9 days",)


def test_production_beyond_the_newest_goes_as_previews_do() -> None:
    live = tuple(Candidate(f"dpl-{n}", str(n), "main", True, NOW - n * DAY) for n in range(4))
    given = Facts(live, frozenset(), {}, {"main": ("0", None)})
    verdicts = decide(given, Policy(production_kept=2, idle_days=3))
    assert [verdicts[f"dpl-{n}"].kept for n in range(4)] == [True, True, False, False]
    assert [verdicts[f"dpl-{n}"].expired(NOW) for n in range(4)] == [False, False, False, True]


def test_a_forks_branch_is_none_of_ours_whatever_its_name() -> None:
    patch = Candidate("dpl-1", "a", "main", production=False, live_at=1, trusted=False)
    given = facts(patch, branches={"main": ("b", None)}, pull_requests={5: ("a", "main", LONG_AGO)})
    assert decide(given, POLICY)["dpl-1"].expired(NOW)


def test_what_was_built_again_is_as_good_as_new(database: Database, project_id: int) -> None:
    again = live(database, project_id, "a" * 40, "topic")
    Deployment.update(created_at=1, updated_at=now()).where(Deployment.id == again).execute()
    assert not retention.going(project_id, Policy(idle_days=1), now())[0].due
    Deployment.update(updated_at=1).where(Deployment.id == again).execute()
    assert retention.going(project_id, Policy(idle_days=1), now())[0].due


def test_asking_for_one_deployment_says_what_asking_for_all_does(
    database: Database, project_id: int
) -> None:
    """Every deployment of a project with all that counts, at random."""
    dice = random.Random(4)
    names = [f"branch-{n}" for n in range(4)]
    ids = [live(database, project_id, f"{n:040x}", dice.choice(names)) for n in range(40)]
    with database.write():
        for number, id_ in enumerate(ids):
            Deployment.update(
                created_at=number,
                updated_at=NOW - dice.choice((1, 200)) * DAY,
                environment=dice.choice(("preview", "production")),
                trusted=dice.random() < 0.8,
            ).where(Deployment.id == id_).execute()
        for name in names[:3]:
            Ref.create(
                project=project_id, name=name, sha=f"{dice.randrange(40):040x}",
                deleted=dice.random() < 0.5, moved_at=NOW - dice.randrange(1, 200) * DAY,
            )  # fmt: skip
            projects.point_alias(project_id, AliasKind.BRANCH, name, dice.choice(ids))
        for number in range(8):
            PullRequest.create(
                project=project_id, number=number, head_sha=f"{dice.randrange(40):040x}",
                head_ref=dice.choice(names), open=dice.random() < 0.4,
                moved_at=NOW - dice.randrange(1, 200) * DAY,
            )  # fmt: skip
            projects.point_alias(project_id, AliasKind.PULL_REQUEST, str(number), dice.choice(ids))
        projects.point_alias(project_id, AliasKind.PRODUCTION, "production", ids[5])
    policy = Policy(closed_days=30, idle_days=90, production_kept=3)
    verdicts = decide(retention.facts_of(project_id), policy)
    assert len({verdict.kept for verdict in verdicts.values()}) == 2
    assert len({verdict.expires_at for verdict in verdicts.values()}) > 3
    for id_, verdict in verdicts.items():
        kept = retention.why_kept(project_id, id_, policy, NOW)
        assert (kept.needed, sorted(kept.reasons)) == (
            verdict.kept, sorted(verdict.reasons) or sorted(kept.reasons),
        )  # fmt: skip
        if not verdict.kept:
            assert kept.expires_at == verdict.expires_at
            assert bool(kept.reasons) is not verdict.expired(NOW)


def test_days_of_zero_are_for_ever() -> None:
    given = facts(preview(), branches={"topic": ("a", LONG_AGO)})
    assert decide(given, Policy(closed_days=0, idle_days=0))["dpl-1"].expires_at is None


def test_a_commit_that_a_branch_comes_back_to_is_built_again(
    database: Database, project_id: int
) -> None:
    old = live(database, project_id, "a" * 40, "gone")
    with database.write():
        assert retention.remove(project_id, POLICY, [old]) == [old]
        asked = deployments.request_build(project_id, "a" * 40, "topic", "push", "preview")
    assert (asked.deployment_id, asked.created) == (old, True)
    assert Deployment.get_by_id(old).status == DeploymentStatus.PENDING


def test_a_forks_commit_that_is_built_again_is_trusted_no_more_than_before(
    database: Database, project_id: int
) -> None:
    with database.write():
        asked = deployments.request_build(
            project_id, "a" * 40, "patch", "pull_request", "preview", trusted=False
        )
        changes.delete_deployment(asked.deployment_id, DeploymentStatus.EXPIRED)
        again = deployments.request_build(
            project_id, "a" * 40, "patch", "pull_request", "preview", trusted=False
        )
    assert again.created
    assert not Deployment.get_by_id(asked.deployment_id).trusted


def test_what_somebody_deleted_is_not_built_again(database: Database, project_id: int) -> None:
    old = live(database, project_id, "a" * 40, "gone")
    with database.write():
        changes.delete_deployment(old)
        asked = deployments.request_build(project_id, "a" * 40, "topic", "push", "preview")
    assert not asked.created
    assert Deployment.get_by_id(old).status == DeploymentStatus.DELETED


def test_a_project_says_how_long_where_the_operator_does_not_decide(
    database: Database, project_id: int
) -> None:
    operators = Policy(closed_days=30, idle_days=90, production_kept=10, failed_days=30)
    assert policies.of_project(project_id, operators) == operators
    with database.write():
        policies.put(project_id, {"closed_days": 0, "production_kept": 3})
    assert policies.of_project(project_id, operators) == Policy(0, 90, 3, 30)
    assert policies.own(project_id)["idle_days"] is None


def test_old_builds_of_nothing_are_forgotten_and_answers_are_kept(
    database: Database, project_id: int
) -> None:
    """A branch that a failed build is the answer to keeps it: it would be built again."""
    of_head = failed(database, project_id, "a" * 40)
    of_none = failed(database, project_id, "b" * 40)
    with database.write():
        Ref.create(project=project_id, name="topic", sha="a" * 40, moved_at=1)
    assert forgetting.old_builds(project_id, 1) == []
    old = forgetting.old_builds(project_id, now() + DAY)
    assert [build.deployment_id for build in old] == [of_none]
    assert forgetting.count_old_builds(project_id, now() + DAY) == 1
    with database.write():
        assert forgetting.forget_builds(old) == [of_none]
    assert Deployment.get_or_none(Deployment.id == of_none) is None
    assert Deployment.get_by_id(of_head).status == DeploymentStatus.FAILED


def test_failed_attempts_at_what_is_live_go_and_it_stays(
    database: Database, project_id: int
) -> None:
    deployment = live(database, project_id, "a" * 40, "topic")
    with database.write():
        Build.create(
            id="bld-old", deployment=deployment, status="errored", created_at=1, completed_at=2
        )
    old = forgetting.old_builds(project_id, now() + DAY)
    assert [build.id for build in old] == ["bld-old"]
    with database.write():
        assert forgetting.forget_builds(old) == []
    assert Deployment.get_by_id(deployment).status == DeploymentStatus.READY


def failed(database: Database, project_id: int, sha: str) -> str:
    with database.write():
        asked = deployments.request_build(project_id, sha, "topic", "push", "preview")
        builds.claim(asked.build_id, "worker", "logs/one.log")
        builds.fail(asked.build_id, "worker", BuildStatus.FAILED, "no", "No.", {})
    return asked.deployment_id


def test_a_chore_is_one_workers_at_a_time_and_not_too_often(database: Database) -> None:
    assert chores.last("sweep") is None
    assert chores.take("sweep", "one")
    assert not chores.take("sweep", "two")
    chores.renew("sweep", "one")
    chores.complete("sweep", "one", {"bytes": 5})
    assert not chores.take("sweep", "two", every=60_000)
    assert chores.take("sweep", "two")
    found = chores.last("sweep")
    assert found is not None
    assert found.result == {"bytes": 5}


def test_a_chore_whose_worker_was_killed_is_taken_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chores.take("sweep", "killed")
    monkeypatch.setattr(chores, "now", lambda: now() + chores.LEASE + 1000)
    assert chores.take("sweep", "two")
