"""Environment variables of projects' builds. Values come and go sealed (`bot.sealing`).

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from bot.models import sql
from bot.models.ids import now
from bot.models.tables import Variable


class Context(StrEnum):
    """Which deployments' builds see a variable."""

    ALL = "all"
    PRODUCTION = "production"
    PREVIEW = "preview"


_SET = """
INSERT INTO variables (project_id, name, context, value, updated_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (project_id, name, context) DO UPDATE SET
    value = excluded.value, updated_at = excluded.updated_at
"""


def put(project_id: int, name: str, context: Context, sealed: str) -> None:
    sql.execute(_SET, project_id, name, str(context), sealed, now())


def remove(project_id: int, name: str, context: Context) -> bool:
    """`False`: there is no such variable."""
    statement = "DELETE FROM variables WHERE project_id = ? AND name = ? AND context = ?"
    return bool(sql.execute(statement, project_id, name, str(context)).rowcount)


def of_project(project_id: int) -> list[Variable]:
    return list(
        Variable.select()
        .where(Variable.project == project_id)
        .order_by(Variable.name, Variable.context)
    )


def for_build(project_id: int, environment: str) -> dict[str, str]:
    """Name → sealed value, for a build of `production` or `preview`.

    One set for that environment alone wins over one set for all.
    """
    found = {}
    for row in of_project(project_id):
        if row.context == environment or (row.context == Context.ALL and row.name not in found):
            found[row.name] = row.value
    return found


def rewrite(change: Callable[[str], str]) -> int:
    """Pass every sealed value through `change`; answers how many there are. For rotation."""
    rows = list(Variable.select(Variable.id, Variable.value))
    for row in rows:
        Variable.update(value=change(row.value)).where(Variable.id == row.id).execute()
    return len(rows)
