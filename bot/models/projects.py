"""Projects, their branches, pull requests and aliases.

Events arrive in any order, so everything that an event says of a branch or a pull
request comes with the code host's own time, `moved_at` (ms), and what is older than
what is known changes nothing. Callers hold a transaction around everything here
that writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.models import sql
from bot.models.addresses import address
from bot.models.ids import now
from bot.models.status import AliasKind
from bot.models.tables import Deployment, Project

# A statement takes so many names at a time: databases limit a statement's values.
_NAMES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a branch or pull request pointed before, and whether it is moved now.

    `replaced`: the commit that it no longer points at; empty: none.
    """

    moved: bool
    replaced: str = ""


NOT_MOVED = Moved(moved=False)

_FIND_PROJECT = """
SELECT id, production_branch, private, installation_id, state FROM projects WHERE name = ?
"""
_CONNECT_PROJECT = """
INSERT INTO projects
    (name, production_branch, private, installation_id, state, created_at, updated_at)
VALUES (?, ?, ?, ?, 'active', ?, ?)
ON CONFLICT (name) DO UPDATE SET
    production_branch = excluded.production_branch,
    private = excluded.private,
    installation_id = excluded.installation_id,
    state = CASE WHEN projects.state = 'forbidden' THEN 'forbidden' ELSE 'active' END,
    state_note = CASE WHEN projects.state = 'forbidden' THEN projects.state_note ELSE '' END,
    updated_at = excluded.updated_at
RETURNING id
"""
# The other projects of a repository are reached, and hidden, as the main one is.
_FOLLOW = """
UPDATE projects SET production_branch = ?, private = ?, installation_id = ?,
    state = CASE WHEN state = 'forbidden' THEN state ELSE 'active' END,
    state_note = CASE WHEN state = 'forbidden' THEN state_note ELSE '' END, updated_at = ?
WHERE main_id = ?
"""


def connect_project(
    name: str, *, production_branch: str, private: bool, installation_id: int | None
) -> int:
    """The id of a repository's project, made on first sight and brought up to date later."""
    known = sql.first(_FIND_PROJECT, name)
    if known is not None:
        installation_id = installation_id or known[3]
        # That we may not tell the code host anything keeps nobody from pushing.
        reached = known[4] in {"active", "forbidden"}
        if reached and known[1:4] == (production_branch, private, installation_id):
            sql.lock_project(known[0])
            return int(known[0])
    time = now()
    found = sql.first(
        _CONNECT_PROJECT, name, production_branch, private, installation_id, time, time
    )
    assert found is not None  # noqa: S101 (RETURNING)
    sql.execute(_FOLLOW, production_branch, private, installation_id, time, found[0])
    return int(found[0])


def name_of(project_id: int) -> str:
    """Empty: there is no such project."""
    found = sql.first("SELECT name FROM projects WHERE id = ?", project_id)
    return str(found[0]) if found is not None else ""


def by_name(name: str) -> Project | None:
    found: Project | None = Project.get_or_none(Project.name == name)
    return found


def names() -> dict[int, str]:
    """Id → name of every project."""
    return {int(id_): str(name) for id_, name in sql.rows("SELECT id, name FROM projects")}


_SWITCHES = frozenset({"toolbar", "build_on_visit"})


def switch(project_id: int, name: str, on: bool) -> None:
    """Turn one of a project's switches on or off."""
    assert name in _SWITCHES  # noqa: S101 (a column's name)
    sql.execute(
        f"UPDATE projects SET {name} = ?, updated_at = ? WHERE id = ?", on, now(), project_id
    )


def limit_builds(project_id: int, concurrency: int | None) -> None:
    """How many of its builds may run at a time; `None`: as the operator says; 0: any number."""
    sql.execute(
        "UPDATE projects SET concurrency = ?, updated_at = ? WHERE id = ?",
        concurrency,
        now(),
        project_id,
    )


_FIND_REF = "SELECT sha, deleted, moved_at FROM refs WHERE project_id = ? AND name = ?"
_SET_REF = """
INSERT INTO refs (project_id, name, sha, deleted, moved_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (project_id, name) DO UPDATE SET
    sha = excluded.sha, deleted = excluded.deleted, moved_at = excluded.moved_at
"""


def move_ref(project_id: int, name: str, sha: str, moved_at: int, before: str) -> Moved:
    """Record where a branch points. Not moved: something newer is known already.

    `moved_at` has the code host's resolution (a second), so two pushes may share it;
    then the one that starts where the known one ends is the newer. `before` is zeros
    for a branch that did not exist.
    """
    sql.lock_project(project_id)
    known = sql.first(_FIND_REF, project_id, name)
    if known is None:
        sql.execute(_SET_REF, project_id, name, sha, False, moved_at)
        return Moved(True)
    known_sha, deleted, known_at = known
    if known_sha == sha and not deleted:
        if moved_at > known_at:
            sql.execute(_SET_REF, project_id, name, sha, False, moved_at)
        return Moved(True)
    follows = not before.strip("0") if deleted else before == known_sha
    if moved_at < known_at or (moved_at == known_at and not follows):
        return NOT_MOVED
    sql.execute(_SET_REF, project_id, name, sha, False, moved_at)
    return Moved(True, replaced="" if deleted else known_sha)


def delete_ref(project_id: int, name: str, moved_at: int, before: str = "") -> Moved:
    """Record that a branch is gone. Not moved: it was pushed again since.

    `before` is where it pointed last, as far as the event says so. A branch that was
    never heard of is recorded too: the push that made it may arrive later.
    """
    sql.lock_project(project_id)
    known = sql.first(_FIND_REF, project_id, name)
    if known is None:
        sql.execute(_SET_REF, project_id, name, before, True, moved_at)
        return Moved(True)
    known_sha, deleted, known_at = known
    recreated = moved_at == known_at and bool(before) and before != known_sha
    if moved_at < known_at or (recreated and not deleted):
        return NOT_MOVED
    sql.execute(_SET_REF, project_id, name, known_sha, True, moved_at)
    return Moved(True, replaced="" if deleted else known_sha)


_FIND_PULL_REQUEST = """
SELECT id, head_sha, open, moved_at FROM pull_requests WHERE project_id = ? AND number = ?
"""
_SET_PULL_REQUEST = """
INSERT INTO pull_requests (project_id, number, head_sha, head_ref, fork, open, moved_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, number) DO UPDATE SET
    head_sha = excluded.head_sha, head_ref = excluded.head_ref, fork = excluded.fork,
    open = excluded.open, moved_at = excluded.moved_at
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Head:
    """What a pull request proposes to merge. `fork`: out of another repository."""

    sha: str
    ref: str
    fork: bool


def move_pull_request(
    project_id: int, number: int, head: Head, moved_at: int, *, reopened: bool = False
) -> Moved:
    """Record an open pull request's head. Not moved: something newer is known already.

    Times have a resolution of a second: within one, only `reopened` undoes a closing.
    """
    sql.lock_project(project_id)
    known = sql.first(_FIND_PULL_REQUEST, project_id, number)
    replaced = ""
    if known is not None:
        _, known_sha, is_open, known_at = known
        closed_meanwhile = moved_at == known_at and not is_open and not reopened
        if moved_at < known_at or closed_meanwhile:
            return NOT_MOVED
        replaced = known_sha if known_sha != head.sha else ""
    sql.execute(
        _SET_PULL_REQUEST, project_id, number, head.sha, head.ref, head.fork, True, moved_at
    )
    return Moved(True, replaced)


def close_pull_request(project_id: int, number: int, head: Head, moved_at: int) -> int | None:
    """Record that a pull request is closed; answers its id, `None` if that is no news.

    One that was never heard of is recorded too: its opening may arrive later.
    """
    sql.lock_project(project_id)
    known = sql.first(_FIND_PULL_REQUEST, project_id, number)
    if known is not None and (moved_at < known[3] or not known[2]):
        return None
    found = sql.first(
        _SET_PULL_REQUEST, project_id, number, head.sha, head.ref, head.fork, False, moved_at
    )
    assert found is not None  # noqa: S101 (RETURNING)
    return int(found[0])


_NUMBERS_HEADED = f"""
SELECT number FROM pull_requests WHERE project_id = {sql.REPOSITORY} AND head_sha = ? AND open
"""


def _numbers_headed(project_id: int, sha: str) -> list[int]:
    return [number for (number,) in sql.rows(_NUMBERS_HEADED, project_id, sha)]


_POINT_ALIAS = """
INSERT INTO aliases (project_id, kind, name, address, deployment_id, updated_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, kind, name) DO UPDATE SET
    address = excluded.address,
    deployment_id = excluded.deployment_id, updated_at = excluded.updated_at
"""
_IN_PRODUCTION = """
SELECT d.created_at FROM aliases a JOIN deployments d ON d.id = a.deployment_id
WHERE a.project_id = ? AND a.kind = 'production'
"""
_HEADS = f"SELECT name FROM refs WHERE project_id = {sql.REPOSITORY} AND sha = ? AND NOT deleted"


def point_alias(project_id: int, kind: AliasKind, name: str, deployment_id: str) -> None:
    """Make a name lead to a deployment, wherever it led before."""
    where = address(kind, name, name_of(project_id))
    sql.execute(_POINT_ALIAS, project_id, kind, name, where, deployment_id, now())


def point_aliases(deployment_id: str) -> None:
    """Point at a live deployment from every branch and pull request whose head it is.

    A branch that has moved on keeps what it has: an older build that ends later than a
    newer one takes no name away from it. An upload is the head of nothing; it may have
    been meant for production.
    """
    sql.lock_project_of(deployment_id)
    deployment = Deployment.get_by_id(deployment_id)
    project: Project = deployment.project
    if not deployment.sha:
        if deployment.environment == "production" and not _overtaken(deployment):
            point_alias(project.id, AliasKind.PRODUCTION, "production", deployment_id)
        return
    # What was built for a fork has no secrets in it: it must not stand for a branch of ours.
    heads = sql.rows(_HEADS, project.id, deployment.sha) if deployment.trusted else []
    for (branch,) in heads:
        point_alias(project.id, AliasKind.BRANCH, branch, deployment_id)
        if branch == project.production_branch:
            point_alias(project.id, AliasKind.PRODUCTION, "production", deployment_id)
    for number in _numbers_headed(project.id, deployment.sha or ""):
        point_alias(project.id, AliasKind.PULL_REQUEST, str(number), deployment_id)


def _overtaken(deployment: Deployment) -> bool:
    """Whether production has been given something newer meanwhile."""
    found = sql.first(_IN_PRODUCTION, deployment.project_id)
    return found is not None and found[0] > deployment.created_at


def set_installation_state(installation_id: int, state: str) -> int:
    """Set the state of all projects of an installation; answers how many there are."""
    changed: int = (
        Project.update(state=state, state_note="", updated_at=now())
        .where(Project.installation_id == installation_id)
        .execute()
    )
    return changed


def set_state(names: Sequence[str], state: str, note: str = "") -> None:
    """Set the state of those of the named projects that are connected.

    `note`: what the code host said of it.
    """
    for some in _portions(names):
        Project.update(state=state, state_note=note, updated_at=now()).where(
            _connected(some)
        ).execute()


def rename(before: str, after: str) -> None:
    """A repository is called otherwise now. What is served keeps its addresses until the
    next deployment of its branch."""
    for project in list(Project.select().where(_connected([before]))):
        Project.update(
            name=after + project.name[len(before) :],
            state="active",
            state_note="",
            updated_at=now(),
        ).where(Project.id == project.id).execute()


def describe(repository: str, *, private: bool, production_branch: str) -> None:
    """What else the code host says of a connected repository."""
    Project.update(private=private, production_branch=production_branch, updated_at=now()).where(
        _connected([repository])
    ).execute()


def adopt_installation(names: Sequence[str], installation_id: int) -> None:
    """Reach these projects, where they are connected, through an App installation."""
    for some in _portions(names):
        Project.update(
            installation_id=installation_id, state="active", state_note="", updated_at=now()
        ).where(_connected(some)).execute()


def _connected(names: Sequence[str]) -> Any:
    """The condition that a project is one of the named, or of the same repository as one."""
    mains = Project.select(Project.id).where(Project.name.in_(names))
    return Project.name.in_(names) | Project.main.in_(mains)


def _portions(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[i : i + _NAMES_AT_ONCE] for i in range(0, len(names), _NAMES_AT_ONCE))
