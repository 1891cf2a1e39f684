"""Finding what a page is about, as far as whoever is signed in may see it."""

from __future__ import annotations

from flask import abort, g

from bot.models.rights import Caller
from bot.models.tables import Project
from bot.models.tokens import Scope


def find_project(project_id: int, scope: Scope = Scope.READ) -> Project:
    """A project that the signed-in may see (404 else) and do this in (`UserError` else)."""
    caller: Caller = g.caller
    found: Project | None = Project.get_or_none(Project.id == project_id)
    if found is None or caller.scope_in(project_id) is None:
        abort(404)
    caller.require_in(scope, project_id)
    return found
