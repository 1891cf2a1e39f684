"""Who may do what: the smaller of what a token is for and what its user is in a project.

How somebody proves who they are is not decided here; the API and the dashboard do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.errors import UserError
from bot.models import sql, users
from bot.models.tables import Project, Token, User
from bot.models.tokens import Scope
from bot.models.users import InstanceRole, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with rights.

    `scope` is what their token is for; `project_id`: it is for that project alone.
    `roles` is what their user is in each project (by id); `None`: no role binds them,
    as they are an administrator, or no user at all but the instance's own token.
    """

    name: str
    scope: Scope
    key: str = ""
    project_id: int | None = None
    project: str = ""
    user_id: int | None = None
    login: str = ""
    roles: Mapping[int, Role] | None = None

    def scope_in(self, project_id: int) -> Scope | None:
        """All that they may do in a project; `None`: to them it does not exist."""
        if self.project_id not in (None, project_id):
            return None
        if self.roles is None:
            return self.scope
        role = self.roles.get(project_id)
        return self.scope.smaller(role.scope) if role is not None else None

    def project_ids(self) -> frozenset[int] | None:
        """The projects that exist to them; `None`: all."""
        if self.project_id is not None:
            bound = self.roles is None or self.project_id in self.roles
            return frozenset({self.project_id} if bound else ())
        return frozenset(self.roles) if self.roles is not None else None

    def require(self, scope: Scope) -> None:
        """That the token is for this at all, wherever. Raises `UserError`: `forbidden`."""
        if not self.scope.includes(scope):
            raise UserError(
                "forbidden", f"This needs a token of scope {scope}; yours is {self.scope}."
            )

    def require_in(self, scope: Scope, project_id: int) -> None:
        """That they may do this in a project. Raises `UserError`: `forbidden`."""
        self.require(scope)
        allowed = self.scope_in(project_id)
        if allowed is None and self.project:
            raise UserError("forbidden", f"This token is for the project {self.project} alone.")
        if allowed is None:
            raise UserError("forbidden", "You are no member of this project.")
        if not allowed.includes(scope):
            needed = next(role for role in Role if role.scope == scope)
            raise UserError("forbidden", f"This needs the role {needed} in the project.")

    def require_everywhere(self, scope: Scope) -> None:
        """That they may do this in all projects. Raises `UserError`: `forbidden`."""
        self.require(scope)
        if self.project_id is not None:
            raise UserError("forbidden", f"This token is for the project {self.project} alone.")
        if self.roles is not None:
            raise UserError("forbidden", "This is for administrators.")

    def require_name(self, scope: Scope, project: str) -> None:
        """That they may do this in the project of this name, or make it where there is none.

        Raises `UserError`: `forbidden`.
        """
        self.require(scope)
        known = sql.first("SELECT id FROM projects WHERE name = ?", project)
        if known is not None:
            self.require_in(scope, known[0])
        elif self.project_id is not None:
            raise UserError("forbidden", f"This token is for the project {self.project} alone.")


def of_token(token: Token) -> Caller:
    """Whoever holds a token, which must be valid (`tokens.find`)."""
    project: Project | None = token.project
    user: User | None = token.user
    roles = None
    if user is not None and user.role != InstanceRole.ADMIN:
        roles = users.roles_of(user.id)
    who = f"{user.login}, by " if user is not None else ""
    return Caller(
        name=f"{who}token {token.name} ({token.id})",
        scope=Scope(token.scope),
        key=token.id,
        project_id=token.project_id,
        project=project.name if project is not None else "",
        user_id=token.user_id,
        login=user.login if user is not None else "",
        roles=roles,
    )
