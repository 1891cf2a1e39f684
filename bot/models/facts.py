"""What outsiders may know of a build, in one plain statement: every push asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from bot.models import sql
from bot.models.tables import PullRequest

_FACTS = """
SELECT "builds"."id", "builds"."status", "builds"."framework", "builds"."error_message",
    "builds"."created_at", "builds"."completed_at", "deployments"."id", "deployments"."sha",
    "deployments"."environment", "projects"."id", "projects"."name",
    COALESCE("projects"."main_id", "projects"."id")
FROM "builds"
JOIN "deployments" ON "deployments"."id" = "builds"."deployment_id"
JOIN "projects" ON "projects"."id" = "deployments"."project_id"
"""
_OF_BUILD = f'{_FACTS} WHERE "builds"."id" = ?'
_OF_COMMIT = f"""{_FACTS} WHERE "deployments"."project_id" = ? AND "deployments"."sha" = ?
ORDER BY "builds"."created_at" DESC, "builds"."id" DESC LIMIT 1
"""
_OF_REPOSITORY = f"""{_FACTS}
WHERE "deployments"."sha" = ? AND ? IN ("projects"."id", "projects"."main_id")
ORDER BY "projects"."id", "builds"."created_at", "builds"."id"
"""
_HEADED = """
SELECT id, number, open FROM pull_requests WHERE project_id = ? AND head_sha = ? ORDER BY number
"""
_PROPOSED = """
SELECT 1 FROM pull_requests
WHERE project_id = ? AND head_ref = ? AND open AND NOT fork LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """A build, its deployment and its project. `sha` is empty for an upload.

    `repository_id` is the project that has the branches and pull requests: the main one, where
    the repository has several.
    """

    build_id: str
    status: str
    framework: str
    error: str
    created_at: int
    completed_at: int | None
    deployment_id: str
    sha: str
    environment: str
    project_id: int
    project: str
    repository_id: int


@dataclass(frozen=True, slots=True)
class Headed:
    """A pull request, as far as its comment needs it."""

    id: int
    number: int
    is_open: bool


def of_build(build_id: str) -> Facts | None:
    return _facts(sql.first(_OF_BUILD, build_id))


def of_commit(project_id: int, sha: str) -> Facts | None:
    """Those of a commit's newest build."""
    return _facts(sql.first(_OF_COMMIT, project_id, sha))


def of_repository(repository_id: int, sha: str) -> list[Facts]:
    """Those of the newest build of each of the repository's projects, the main one first."""
    found: dict[int, Facts] = {}
    for row in sql.rows(_OF_REPOSITORY, sha, repository_id):
        known = _facts(row)
        if known is not None:
            found[known.project_id] = known
    return sorted(found.values(), key=lambda known: known.project_id != repository_id)


def pull_requests(repository_id: int, sha: str) -> list[Headed]:
    """Those whose head is `sha`, closed ones too, the oldest first."""
    found = sql.rows(_HEADED, repository_id, sha)
    return [Headed(row_id, number, bool(is_open)) for row_id, number, is_open in found]


def is_proposed(project_id: int, branch: str) -> bool:
    """Whether an open pull request proposes to merge this branch of the project's own."""
    return sql.first(_PROPOSED, project_id, branch) is not None


def pull_request(pull_request_id: int) -> PullRequest:
    found: PullRequest = PullRequest.get_by_id(pull_request_id)
    return found


def _facts(row: tuple[object, ...] | None) -> Facts | None:
    if row is None:
        return None
    values = list(row)
    values[7] = values[7] or ""
    return Facts(*values)  # type: ignore[arg-type]
