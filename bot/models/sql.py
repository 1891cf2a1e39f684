"""Statements for the path that every push takes.

peewee's query builder costs a quarter of a millisecond for a statement that SQLite
runs in ten microseconds. Elsewhere that does not matter; a delivery has a dozen of
them. Statements are written for SQLite and PostgreSQL alike, with `?` for values.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bot.models.database import proxy


def execute(statement: str, *values: object) -> Any:
    """Run a statement; answers the cursor, whose `rowcount` says how many rows it touched.

    Raises the driver's own errors (SQLite), or peewee's.
    """
    database = proxy.obj
    if database.param != "?":
        return database.execute_sql(_placed(statement), values)
    cursor = database.cursor()
    cursor.execute(statement, values)
    return cursor


def rows(statement: str, *values: object) -> list[tuple[Any, ...]]:
    """All rows that a statement answers with."""
    found: list[tuple[Any, ...]] = execute(statement, *values).fetchall()
    return found


def first(statement: str, *values: object) -> tuple[Any, ...] | None:
    """The first row that a statement answers with, if any."""
    found: tuple[Any, ...] | None = execute(statement, *values).fetchone()
    return found


# Whose branches and pull requests a project follows: its repository's main project. Takes the
# project's id.
REPOSITORY = "(SELECT COALESCE(main_id, id) FROM projects WHERE id = ?)"


def lock_project(project_id: int) -> None:
    """Until the transaction ends, nobody else decides upon this project.

    Whoever moves a project's refs and aliases, changes its builds, or notes what is to
    be told of them takes this lock first of all: then no two wait for one another, and
    what is noted later was true later.
    """
    proxy.obj.lock_project(project_id)


_PROJECT_OF_DEPLOYMENT = "SELECT project_id FROM deployments WHERE id = ?"
_PROJECT_OF_BUILD = """
SELECT d.project_id FROM builds b JOIN deployments d ON d.id = b.deployment_id WHERE b.id = ?
"""


def lock_project_of(id_: str) -> None:
    """The same, of a build's (`bld-…`) or deployment's project."""
    if not proxy.obj.locks_rows:
        return
    of = _PROJECT_OF_BUILD if id_.startswith("bld-") else _PROJECT_OF_DEPLOYMENT
    found = first(of, id_)
    if found is not None:
        lock_project(found[0])


@lru_cache(maxsize=512)
def _placed(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", proxy.obj.param)
