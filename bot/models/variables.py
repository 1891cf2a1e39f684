"""Environment variables of projects' builds. Values come and go sealed (`bot.sealing`).

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
INSERT INTO variables (project_id, name, context, value, secret, updated_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, name, context) DO UPDATE SET
    value = excluded.value, secret = excluded.secret, updated_at = excluded.updated_at
"""
# What bundlers put into pages for every visitor to read, by its name: Vite, Next.js,
# SvelteKit and Astro, Create React App, Gatsby, Nuxt, Vue CLI, Expo.
_FOR_BROWSERS = (
    "VITE_", "NEXT_PUBLIC_", "PUBLIC_", "REACT_APP_", "GATSBY_", "NUXT_PUBLIC_", "VUE_APP_",
    "EXPO_PUBLIC_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sealed:
    """A variable's sealed value, and whether it must not get out."""

    value: str
    secret: bool


def is_secret_by_name(name: str) -> bool:
    """What a variable is unless somebody says so: secret, but for those meant for browsers."""
    return not name.startswith(_FOR_BROWSERS)


def put(
    project_id: int, name: str, context: Context, sealed: str, secret: bool | None = None
) -> None:
    """`secret=None`: by its name (`is_secret_by_name`)."""
    chosen = is_secret_by_name(name) if secret is None else secret
    sql.execute(_SET, project_id, name, str(context), sealed, chosen, now())


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


def for_build(project_id: int, environment: str, main_id: int | None = None) -> dict[str, Sealed]:
    """By name, for a build of `production` or `preview`; never for one of a fork's commit.

    One set for that environment alone wins over one set for all. One of several projects of
    a repository has what is plain from the main one, `main_id`, too; a secret is given to each
    project by itself.
    """
    own = _narrowed(of_project(project_id), environment)
    if main_id is None:
        return own
    return _narrowed((row for row in of_project(main_id) if not row.secret), environment) | own


def _narrowed(rows: Iterable[Variable], environment: str) -> dict[str, Sealed]:
    found: dict[str, Sealed] = {}
    for row in rows:
        if row.context == environment or (row.context == Context.ALL and row.name not in found):
            found[row.name] = Sealed(row.value, bool(row.secret))
    return found


def rewrite(change: Callable[[str], str]) -> int:
    """Pass every sealed value through `change`; answers how many there are. For rotation."""
    rows = list(Variable.select(Variable.id, Variable.value))
    for row in rows:
        Variable.update(value=change(row.value)).where(Variable.id == row.id).execute()
    return len(rows)
