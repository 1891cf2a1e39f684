"""Where branches and pull requests are, as far as the bot was told."""

from __future__ import annotations

from bot.models import sql
from bot.models.tables import Project


def active_projects() -> list[Project]:
    """Those whose repository can be reached, by name; of several of one repository, the main
    one, whose branches and pull requests the others share."""
    main = Project.state.in_(("active", "forbidden")) & Project.main.is_null()
    return list(Project.select().where(main).order_by(Project.name))


def branches(project_id: int) -> dict[str, str]:
    """Name → SHA of the branches that are known to exist."""
    found = sql.rows("SELECT name, sha FROM refs WHERE project_id = ? AND NOT deleted", project_id)
    return {str(name): str(sha) for name, sha in found}


def open_pull_requests(project_id: int) -> dict[int, str]:
    """Number → head's SHA of the pull requests that are known to be open."""
    found = sql.rows(
        "SELECT number, head_sha FROM pull_requests WHERE project_id = ? AND open", project_id
    )
    return {int(number): str(sha) for number, sha in found}
