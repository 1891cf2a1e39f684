"""The projects of one repository: what each has of its own, and what all share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.models import (
    access,
    builds,
    changes,
    coming,
    deployments,
    forgetting,
    heads,
    overview,
    parts,
    projects,
    resolve,
    retention,
    sql,
    users,
    variables,
    wanted,
)
from bot.models.access import AccessKind
from bot.models.database import Database
from bot.models.deployments import Requested
from bot.models.ids import now
from bot.models.projects import Head
from bot.models.retention import Policy
from bot.models.status import BuildStatus
from bot.models.tables import Build, Deployment, Project, Ref
from bot.models.users import Role
from bot.models.variables import Context, Sealed

A, B, ZEROS = "a" * 40, "b" * 40, "0" * 40


@pytest.fixture(autouse=True)
def transaction(database: Database) -> Iterator[None]:
    with database.write():
        yield


@pytest.fixture
def main_id() -> int:
    return connect()


def connect(name: str = "octo/site", *, branch: str = "main", private: bool = False) -> int:
    return projects.connect_project(
        name, production_branch=branch, private=private, installation_id=None
    )


def push(main_id: int, sha: str, branch: str = "main", before: str = ZEROS) -> Requested:
    environment = "production" if branch == "main" else "preview"
    projects.move_ref(main_id, branch, sha, now(), before)
    return deployments.request_build(main_id, sha, branch, "push", environment)


def docs_of(main: Requested) -> Requested:
    (found,) = parts.request(main.deployment_id, ["docs"])
    return found


def go_live(requested: Requested) -> str:
    assert builds.claim(requested.build_id, "w")
    assert builds.succeed(requested.build_id, "w", {}, [])
    projects.point_aliases(requested.deployment_id)
    return requested.deployment_id


def led_to(project_id: int) -> dict[str, str]:
    rows = sql.rows("SELECT name, deployment_id FROM aliases WHERE project_id = ?", project_id)
    return dict(rows)


def docs_id() -> int:
    found = projects.by_name("octo/site#docs")
    assert found is not None
    return int(found.id)


def test_a_part_is_a_project_of_its_own_that_is_built_once_for_each_commit(main_id: int) -> None:
    main = push(main_id, A)
    first = docs_of(main)
    again = docs_of(main)
    assert (first.created, again.created) == (True, False)
    assert first.build_id == again.build_id
    deployment = Deployment.get_by_id(first.deployment_id)
    terms = (deployment.sha, deployment.ref, deployment.environment, deployment.source)
    assert terms == (A, "main", "production", "push")
    part = Project.get_by_id(docs_id())
    assert (part.name, part.main_id) == ("octo/site#docs", main_id)
    assert parts.ids(main_id) == [part.id]


def test_its_names_follow_the_repositorys_branches_and_pull_requests(main_id: int) -> None:
    docs = docs_of(push(main_id, A))
    projects.move_pull_request(main_id, 7, Head(A, "main", fork=False), now())
    go_live(docs)
    assert led_to(docs_id()) == dict.fromkeys(("main", "production", "7"), docs.deployment_id)
    assert resolve.by_alias("octo-site-docs") == docs.deployment_id
    assert resolve.by_alias("pr-7--octo-site-docs") == docs.deployment_id
    assert led_to(main_id) == {}


def test_what_is_not_live_yet_is_known_by_its_address(main_id: int) -> None:
    docs = docs_of(push(main_id, A, "topic"))
    assert coming.deployment_for("topic--octo-site-docs") == docs.deployment_id


def test_a_repository_goes_before_a_part_of_the_same_address(main_id: int) -> None:
    go_live(docs_of(push(main_id, A)))
    own = go_live(push(connect("octo/site-docs"), B))
    assert resolve.by_alias("octo-site-docs") == own


def test_a_branch_that_moves_on_gives_up_the_builds_of_all_its_projects(main_id: int) -> None:
    main = push(main_id, A, "topic")
    docs = docs_of(main)
    projects.move_ref(main_id, "topic", B, now(), A)
    given_up = deployments.supersede(main_id, "topic", A)
    assert set(given_up) == {
        (main.deployment_id, main.build_id),
        (docs.deployment_id, docs.build_id),
    }
    assert Build.get_by_id(docs.build_id).status == BuildStatus.SUPERSEDED


def test_a_commit_that_another_branch_holds_is_wanted_of_all_its_projects(main_id: int) -> None:
    docs_of(push(main_id, A, "topic"))
    push(main_id, A, "other")
    assert deployments.supersede(main_id, "topic", A) == []


def test_what_is_wanted_again_of_the_main_project_is_wanted_of_the_others(main_id: int) -> None:
    main = push(main_id, A, "topic")
    docs = docs_of(main)
    go_live(main)
    assert [one.created for one in parts.request_again(main.deployment_id)] == [False]
    Ref.update(sha=B).execute()
    assert deployments.supersede(main_id, "topic", A) == [(docs.deployment_id, docs.build_id)]
    (again,) = parts.request_again(main.deployment_id)
    assert again.created
    go_live(again)
    Ref.update(sha=A).execute()
    assert led_to(docs_id()) == {}
    (ready,) = parts.request_again(main.deployment_id)
    assert ready.ready
    assert led_to(docs_id()) == {"topic": docs.deployment_id}


def test_of_a_commit_without_parts_nothing_more_is_asked(main_id: int) -> None:
    assert parts.request_again(push(main_id, A).deployment_id) == []
    assert parts.request_again("dpl-none") == []


def test_what_was_built_for_a_fork_is_built_anew_once_it_is_ours(main_id: int) -> None:
    ref = "pull/7/head"
    main = deployments.request_build(main_id, A, ref, "pull_request", "preview", trusted=False)
    docs = docs_of(main)
    assert not Deployment.get_by_id(docs.deployment_id).trusted
    go_live(docs)
    ours = push(main_id, A)
    assert ours.created
    again = docs_of(ours)
    assert again.created
    assert Deployment.get_by_id(again.deployment_id).trusted


def test_it_is_reached_and_hidden_as_its_main_project(main_id: int) -> None:
    docs_of(push(main_id, A))
    connect(branch="trunk", private=True)
    part = Project.get_by_id(docs_id())
    assert (part.production_branch, part.private) == ("trunk", True)
    projects.set_state(["octo/site"], "removed")
    assert Project.get_by_id(docs_id()).state == "removed"
    connect(branch="trunk", private=True)
    assert Project.get_by_id(docs_id()).state == "active"


def test_it_goes_with_its_main_project(main_id: int) -> None:
    main = push(main_id, A)
    docs = docs_of(main)
    gone = changes.delete_project(main_id)
    assert sorted(gone) == sorted([main.deployment_id, docs.deployment_id])
    assert projects.by_name("octo/site#docs") is None


def test_it_is_protected_as_its_main_project_unless_in_a_way_of_its_own(main_id: int) -> None:
    docs_of(push(main_id, A))
    assert access.access_of(docs_id()) is None
    assert not access.must_be_asked(docs_id())
    whole = access.protect(main_id, AccessKind.LINK)
    assert access.access_of(docs_id()) == whole
    assert access.must_be_asked(docs_id())
    own = access.protect(docs_id(), AccessKind.PASSWORD, "x")
    assert access.access_of(docs_id()) == own
    access.open_to_all(main_id)
    assert access.access_of(main_id) is None
    assert access.access_of(docs_id()) == own


def test_it_has_what_is_plain_of_its_main_project_and_no_secret(main_id: int) -> None:
    docs_of(push(main_id, A))
    variables.put(main_id, "A", Context.ALL, "plain", secret=False)
    variables.put(main_id, "B", Context.ALL, "plain", secret=False)
    variables.put(main_id, "C", Context.ALL, "hidden", secret=True)
    variables.put(main_id, "D", Context.PRODUCTION, "plain", secret=False)
    variables.put(docs_id(), "B", Context.ALL, "own", secret=True)
    assert variables.for_build(docs_id(), "preview", main_id) == {
        "A": Sealed("plain", secret=False),
        "B": Sealed("own", secret=True),
    }
    assert "D" in variables.for_build(docs_id(), "production", main_id)


@pytest.mark.parametrize("context", [Context.ALL, Context.PRODUCTION])
def test_other_variables_of_the_main_project_make_another_build_for_production(
    main_id: int, context: Context
) -> None:
    docs = docs_of(push(main_id, A, "topic"))
    go_live(docs)
    variables.put(main_id, "A", context, "plain", secret=False)
    again = docs_of(push(main_id, A, "main"))
    assert again.created is (context is Context.PRODUCTION)
    assert Deployment.get_by_id(docs.deployment_id).environment == "production"
    assert ("production" in led_to(docs_id())) is not again.created


@pytest.mark.parametrize(
    ("in_main", "in_docs", "expected"),
    [
        (Role.VIEWER, None, Role.VIEWER),
        (Role.VIEWER, Role.OWNER, Role.OWNER),
        (Role.OWNER, Role.VIEWER, Role.OWNER),
        (None, Role.DEVELOPER, Role.DEVELOPER),
    ],
)
def test_a_member_is_in_it_what_they_are_in_its_main_project_or_more(
    main_id: int, in_main: Role | None, in_docs: Role | None, expected: Role
) -> None:
    docs_of(push(main_id, A))
    user = users.create("maria")
    for project_id, role in ((main_id, in_main), (docs_id(), in_docs)):
        if role is not None:
            users.join(project_id, user.id, role)
    roles = users.roles_of(user.id)
    assert roles[docs_id()] == expected
    assert roles.get(main_id) == in_main


def test_the_commits_address_and_the_first_of_its_builds_are_the_main_projects(
    main_id: int,
) -> None:
    main = push(main_id, A)
    docs = docs_of(main)
    go_live(docs)
    assert [row.id for row in deployments.by_sha(A)] == [main.deployment_id]
    assert [found.deployment_id for found in resolve.by_key(docs.deployment_id)] == [
        docs.deployment_id
    ]
    assert [b.id for b in deployments.builds_of_commit(A)] == [main.build_id, docs.build_id]
    assert deployments.live(main_id) == [docs.deployment_id]
    assert deployments.live(docs_id()) == [docs.deployment_id]


def test_its_previews_end_and_are_kept_with_the_repositorys_branches(main_id: int) -> None:
    main = push(main_id, A, "topic")
    docs = docs_of(main)
    go_live(docs)
    found = deployments.previews_of_branch(main_id, "topic")
    assert {row.id for row in found} == {main.deployment_id, docs.deployment_id}
    kept = retention.why_kept(docs_id(), docs.deployment_id, Policy(), now())
    assert "it is the newest commit of the branch topic" in kept.reasons
    assert [(b.name, b.deployment_id) for b in overview.branches(docs_id())] == [
        ("topic", docs.deployment_id)
    ]
    row = overview.deployment(docs.deployment_id)
    assert row is not None
    assert (row.key, row.address) == (A, docs.deployment_id)


def test_that_it_failed_is_remembered_while_its_commit_is_a_branchs_newest(main_id: int) -> None:
    docs = docs_of(push(main_id, A, "topic"))
    assert builds.claim(docs.build_id, "w")
    assert builds.fail(docs.build_id, "w", BuildStatus.FAILED, "x", "y", {})
    later = now() + 10
    assert forgetting.old_builds(docs_id(), later) == []
    Ref.update(sha=B).execute()
    assert [one.id for one in forgetting.old_builds(docs_id(), later)] == [docs.build_id]


def test_the_repository_is_looked_at_once(main_id: int) -> None:
    docs_of(push(main_id, A))
    Project.update(build_on_visit=True).execute()
    assert [project.name for project in heads.active_projects()] == ["octo/site"]
    assert [one.name for one in wanted.offering()] == ["octo/site"]
