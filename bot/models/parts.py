"""The projects of a repository that has several of them.

The first is the main project: it has the repository's name, its branches and pull
requests, and the commit's address. Each other, called `owner/name#part`, is a project row
of its own that points to the main one; its deployments follow the same branches. A part's
row is made, and its build requested, when a build of the main project has read the commit's
configuration. Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.models import deployments, projects, sql
from bot.models.deployments import Requested
from bot.models.ids import now
from bot.models.tables import Deployment

# What a part has from the main project, whenever it is asked for.
_CONNECT = """
INSERT INTO projects
    (name, main_id, production_branch, private, installation_id, state, toolbar, build_on_visit,
     created_at, updated_at)
SELECT p.name || ?, p.id, p.production_branch, p.private, p.installation_id, p.state, p.toolbar,
    FALSE, ?, ?
FROM projects p WHERE p.id = ? AND p.main_id IS NULL
ON CONFLICT (name) DO UPDATE SET main_id = excluded.main_id,
    production_branch = excluded.production_branch, private = excluded.private,
    installation_id = excluded.installation_id, state = excluded.state
RETURNING id
"""
_OF_COMMIT = """
SELECT d.project_id FROM deployments d JOIN projects p ON p.id = d.project_id
WHERE d.sha = ? AND p.main_id = ? ORDER BY d.project_id
"""


def ids(main_id: int) -> list[int]:
    """The other projects of a main project's repository."""
    return [row[0] for row in sql.rows("SELECT id FROM projects WHERE main_id = ?", main_id)]


def request(deployment_id: str, names: Iterable[str]) -> list[Requested]:
    """Request the builds of the named parts, of the same commit as the main project's
    deployment, under the same terms: its branch, its environment, and whether it is trusted.
    """
    sql.lock_project_of(deployment_id)
    main = Deployment.get_by_id(deployment_id)
    time = now()
    found = []
    for name in names:
        row = sql.first(_CONNECT, f"#{name}", time, time, main.project_id)
        assert row is not None  # noqa: S101 (RETURNING)
        found.append(row[0])
    return _request(main, found)


def request_again(deployment_id: str) -> list[Requested]:
    """What is wanted of a commit's main project again is wanted of its known parts, too."""
    found = sql.first("SELECT project_id, sha FROM deployments WHERE id = ?", deployment_id)
    known = sql.rows(_OF_COMMIT, found[1], found[0]) if found is not None else []
    if not known:
        return []
    return _request(Deployment.get_by_id(deployment_id), [row[0] for row in known])


def _request(main: Deployment, project_ids: Sequence[int]) -> list[Requested]:
    requested = []
    for project_id in project_ids:
        asked = deployments.request_build(
            project_id,
            main.sha or "",
            main.ref,
            main.source,
            main.environment,
            trusted=bool(main.trusted),
        )
        if asked.ready:
            projects.point_aliases(asked.deployment_id)
        requested.append(asked)
    return requested
