"""Environment variables of projects' builds. Values come and go sealed (`bot.sealing`).

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from bot.errors import UserError
from bot.models import sql
from bot.models.ids import now
from bot.models.tables import Variable


class Context(StrEnum):
    """Which deployments' builds see a variable."""

    ALL = "all"
    PRODUCTION = "production"
    PREVIEW = "preview"


_SET = """
INSERT INTO variables (project_id, name, context, branch, value, secret, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, name, context, branch) DO UPDATE SET
    value = excluded.value, secret = excluded.secret, updated_at = excluded.updated_at
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What no name of a branch can have, no pattern needs. https://git-scm.com/docs/git-check-ref-format
_BRANCH = re.compile(r"[^\x00-\x20\x7f~^:\\]{0,255}")
# What bundlers put into pages for every visitor to read, by its name: Vite, Next.js,
# SvelteKit and Astro, Create React App, Gatsby, Nuxt, Vue CLI, Expo.
_FOR_BROWSERS = (
    "VITE_", "NEXT_PUBLIC_", "PUBLIC_", "REACT_APP_", "GATSBY_", "NUXT_PUBLIC_", "VUE_APP_",
    "EXPO_PUBLIC_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sealed:
    """A variable's sealed value, whether it must not get out, and the pattern it was set for."""

    value: str
    secret: bool
    branch: str = ""


def is_secret_by_name(name: str) -> bool:
    """What a variable is unless somebody says so: secret, but for those meant for browsers."""
    return not name.startswith(_FOR_BROWSERS)


def put(
    project_id: int,
    name: str,
    context: Context,
    sealed: str,
    secret: bool | None = None,
    branch: str = "",
) -> None:
    """`secret=None`: by its name (`is_secret_by_name`); `branch`: a pattern such as `release/*`.

    Raises `UserError`: `invalid-variable`.
    """
    if not _NAME.fullmatch(name):
        raise UserError("invalid-variable", "A name has letters, digits and underscores.")
    if not _BRANCH.fullmatch(branch):
        raise UserError("invalid-variable", f"{branch!r} is no pattern of branches.")
    chosen = is_secret_by_name(name) if secret is None else secret
    sql.execute(_SET, project_id, name, str(context), branch, sealed, chosen, now())


def find(project_id: int, name: str, context: Context, branch: str) -> Variable:
    """Raises `UserError`: `variable-not-found`."""
    found: Variable | None = Variable.get_or_none(
        Variable.project == project_id,
        Variable.name == name,
        Variable.context == context,
        Variable.branch == branch,
    )
    if found is None:
        raise UserError("variable-not-found", "The project has no such variable.")
    return found


def remove(project_id: int, name: str, context: Context, branch: str = "") -> None:
    """Raises `UserError`: `variable-not-found`."""
    Variable.delete().where(Variable.id == find(project_id, name, context, branch).id).execute()


def of_project(project_id: int) -> list[Variable]:
    return list(
        Variable.select()
        .where(Variable.project == project_id)
        .order_by(Variable.name, Variable.context, Variable.branch)
    )


def for_build(
    project_id: int, environment: str, main_id: int | None = None, *, branch: str = ""
) -> dict[str, Sealed]:
    """By name, for a build of `production` or `preview`; never for one of a fork's commit.

    The narrowest wins: one set for branches over one set for any, the branch's own name over a
    pattern, a longer pattern over a shorter one; then one set for that environment alone. One of
    several projects of a repository has what is plain from the main one, `main_id`, too; a
    secret is given to each project by itself.
    """
    own = _narrowed(of_project(project_id), environment, branch)
    if main_id is None:
        return own
    plain = (row for row in of_project(main_id) if not row.secret)
    return _narrowed(plain, environment, branch) | own


def _narrowed(rows: Iterable[Variable], environment: str, branch: str) -> dict[str, Sealed]:
    fitting = [
        row
        for row in rows
        if row.context in (environment, Context.ALL)
        and (not row.branch or (branch and fnmatch.fnmatchcase(branch, row.branch)))
    ]

    def narrowness(row: Variable) -> tuple[bool, int, str, bool]:
        own = row.context == environment
        return row.branch == branch != "", len(row.branch), row.branch, own

    return {
        row.name: Sealed(row.value, bool(row.secret), row.branch)
        for row in sorted(fitting, key=narrowness)
    }


def rewrite(change: Callable[[str], str]) -> int:
    """Pass every sealed value through `change`; answers how many there are. For rotation."""
    rows = list(Variable.select(Variable.id, Variable.value))
    for row in rows:
        Variable.update(value=change(row.value)).where(Variable.id == row.id).execute()
    return len(rows)
