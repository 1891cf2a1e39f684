"""What serving asks the database: which deployment does an address mean, and in what state."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import dataclass

from bot.models import deployments, domains, sql
from bot.models.access import Access, access_of
from bot.models.database import proxy
from bot.models.status import DeploymentStatus
from bot.models.tables import Deployment, Project


@dataclass(frozen=True, slots=True)
class Found:
    """A deployment as serving sees it. `build_id` is its newest build, if any."""

    deployment_id: str
    sha: str
    project: str
    environment: str
    status: str
    build_id: str = ""
    build_status: str = ""
    problem: str = ""
    queued_at: int = 0
    access: Access | None = None
    toolbar: bool = False  # whether its pages carry one


def by_key(key: str) -> list[Found]:
    """The deployments that a commit SHA, the beginning of one, or a deployment id may mean.

    Those that can be served come first. One SHA may be deployed by several projects.
    """
    if key.startswith("dpl-"):
        rows = list(
            Deployment.select(Deployment, Project).join(Project).where(Deployment.id == key)
        )
    else:
        rows = deployments.by_sha(key)
    return [_found(row) for row in rows]


# Where two names come to the same address: repositories before the parts that another names
# (`octo/site-docs`, and `docs` of `octo/site`), production before pull requests before what
# was set by hand before branches, then whoever had it first.
_ALIAS = """
SELECT a.deployment_id FROM aliases a JOIN projects p ON p.id = a.project_id WHERE a.address = ?
ORDER BY p.main_id IS NOT NULL,
    CASE a.kind WHEN 'production' THEN 0 WHEN 'pull request' THEN 1 WHEN 'custom' THEN 2
    ELSE 3 END, a.project_id, a.id
LIMIT 1
"""


def by_alias(address: str) -> str:
    """Id of the deployment that an alias leads to now; empty: there is no such alias.

    A custom domain leads to wherever its project's production does, once it is proven.
    """
    if "." in address:
        return domains.leads_to(address)
    found = sql.first(_ALIAS, address)
    return str(found[0]) if found is not None else ""


class Changes:
    """Tells cheaply whether anything in the database has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def version(self) -> int | None:
        """A number that differs after any commit of any process; `None`: ask every time.

        SQLite tells it in microseconds, on a connection that itself never writes:
        https://www.sqlite.org/pragma.html#pragma_data_version
        """
        if not _is_sqlite():
            version: int | None = proxy.obj.version()
            return version
        path = proxy.obj.database
        with self._lock:
            # A connection must not be carried over a fork.
            if self._connection is None or self._process != os.getpid():
                self._connection = sqlite3.connect(
                    str(path), check_same_thread=False, isolation_level=None
                )
                self._process = os.getpid()
            row = self._connection.execute("PRAGMA data_version").fetchone()
        return int(row[0])


def _is_sqlite() -> bool:
    return hasattr(proxy.obj, "pragma")


def _found(row: Deployment) -> Found:
    project = row.project
    ready = row.status == DeploymentStatus.READY
    # A finished deployment's builds are nobody's concern here.
    build = None if ready else deployments.newest_build(row.id)
    return Found(
        deployment_id=row.id,
        sha=row.sha or "",
        project=project.name,
        environment=row.environment,
        status=str(row.status),
        build_id=build.id if build is not None else "",
        build_status=str(build.status) if build is not None else "",
        problem=build.error_message if build is not None else "",
        queued_at=build.created_at if build is not None else 0,
        access=access_of(project.id),
        toolbar=bool(project.toolbar) and row.environment != "production",
    )
