"""What the dashboard shows: projects at a glance, and one project as a whole. Reads alone."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from bot.models import sql


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project at a glance. `access` is empty where everybody may see it."""

    id: int
    name: str
    private: bool
    state: str
    production_branch: str
    access: str
    production_id: str
    production_sha: str
    newest_status: str
    newest_at: int | None


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment with its newest build; times in milliseconds."""

    id: str
    sha: str
    ref: str
    environment: str
    source: str
    status: str
    created_at: int
    build_id: str
    build_status: str
    problem: str
    took: int | None
    part: bool

    @property
    def key(self) -> str:
        """What it is shown as."""
        return self.sha or self.id

    @property
    def address(self) -> str:
        """What it is found by: of several projects one alone has the commit's address."""
        return self.id if self.part else self.key


@dataclass(frozen=True, slots=True)
class Leading:
    """A branch or a pull request, and the live deployment that its address leads to, if any."""

    name: str
    sha: str
    address: str
    deployment_id: str
    deployed_sha: str
    note: str = ""


_PROJECTS = """
SELECT p.id, p.name, p.private, p.state, p.production_branch, COALESCE(c.kind, ''),
    COALESCE(d.id, ''), CASE WHEN p.main_id IS NULL THEN COALESCE(d.sha, '') ELSE '' END,
    COALESCE((SELECT n.status FROM deployments n WHERE n.project_id = p.id
              ORDER BY n.created_at DESC LIMIT 1), ''),
    (SELECT MAX(n.created_at) FROM deployments n WHERE n.project_id = p.id)
FROM projects p
LEFT JOIN access c ON c.project_id = CASE
    WHEN EXISTS (SELECT 1 FROM access o WHERE o.project_id = p.id) THEN p.id ELSE p.main_id END
LEFT JOIN aliases a ON a.project_id = p.id AND a.kind = 'production'
LEFT JOIN deployments d ON d.id = a.deployment_id
"""
_DEPLOYMENTS = """
SELECT d.id, COALESCE(d.sha, ''), d.ref, d.environment, d.source, d.status, d.created_at,
    COALESCE(b.id, ''), COALESCE(b.status, ''), COALESCE(b.error_message, ''),
    b.completed_at - b.created_at,
    (SELECT p.main_id IS NOT NULL FROM projects p WHERE p.id = d.project_id)
FROM deployments d
LEFT JOIN builds b ON b.id = (
    SELECT n.id FROM builds n WHERE n.deployment_id = d.id
    ORDER BY n.created_at DESC, n.id DESC LIMIT 1)
"""
_BRANCHES = """
SELECT r.name, r.sha, COALESCE(a.address, ''), COALESCE(d.id, ''), COALESCE(d.sha, ''), ''
FROM refs r JOIN projects p ON r.project_id = COALESCE(p.main_id, p.id)
LEFT JOIN aliases a ON a.project_id = p.id AND a.kind = 'branch' AND a.name = r.name
LEFT JOIN deployments d ON d.id = a.deployment_id
WHERE p.id = ? AND NOT r.deleted ORDER BY r.moved_at DESC LIMIT ?
"""
_PULL_REQUESTS = """
SELECT r.number, r.head_sha, COALESCE(a.address, ''), COALESCE(d.id, ''), COALESCE(d.sha, ''),
    CASE WHEN r.fork THEN 'fork' ELSE r.head_ref END
FROM pull_requests r JOIN projects p ON r.project_id = COALESCE(p.main_id, p.id)
LEFT JOIN aliases a ON a.project_id = p.id AND a.kind = 'pull request'
    AND a.name = CAST(r.number AS TEXT)
LEFT JOIN deployments d ON d.id = a.deployment_id
WHERE p.id = ? AND r.open ORDER BY r.number DESC LIMIT ?
"""


def projects(
    visible: Collection[int] | None, *, containing: str = "", after: str = "", limit: int = 24
) -> list[ProjectRow]:
    """Projects of these ids (`None`: all) by name: those that come after one, of which
    `containing` is part.
    """
    escaped = re.sub(r"([\\%_])", r"\\\1", containing.lower())
    conditions = ["p.name > ?", r"LOWER(p.name) LIKE ? ESCAPE '\'"]
    if visible is not None:
        conditions.append(f"p.id IN ({', '.join('?' * len(visible)) or 'NULL'})")
    found = sql.rows(
        f"{_PROJECTS} WHERE {' AND '.join(conditions)} ORDER BY p.name LIMIT ?",
        after, f"%{escaped}%", *(visible or ()), limit,
    )  # fmt: skip
    return [ProjectRow(*row) for row in found]


def project(project_id: int) -> ProjectRow | None:
    found = sql.first(f"{_PROJECTS} WHERE p.id = ?", project_id)
    return ProjectRow(*found) if found is not None else None


def deployments(project_id: int, limit: int = 25) -> list[DeploymentRow]:
    """A project's deployments, newest first, without those that a commit message refused."""
    condition = "WHERE d.project_id = ? AND d.status <> 'skipped'"
    order = "ORDER BY d.created_at DESC, d.id DESC LIMIT ?"
    found = sql.rows(f"{_DEPLOYMENTS} {condition} {order}", project_id, limit)
    return [DeploymentRow(*row) for row in found]


def deployment(deployment_id: str) -> DeploymentRow | None:
    found = sql.first(f"{_DEPLOYMENTS} WHERE d.id = ?", deployment_id)
    return DeploymentRow(*found) if found is not None else None


def branches(project_id: int, limit: int = 30) -> list[Leading]:
    """Branches, the ones that moved last first."""
    return [Leading(*row) for row in sql.rows(_BRANCHES, project_id, limit)]


def pull_requests(project_id: int, limit: int = 30) -> list[Leading]:
    """Open pull requests, newest first; `note` is their branch, or says that it is a fork's."""
    return [Leading(str(n), *rest) for n, *rest in sql.rows(_PULL_REQUESTS, project_id, limit)]
