"""Users, and what they are in projects.

An instance has administrators, who may do everything, and members, who may do what
their role in a project allows. Callers hold a transaction around everything here that
writes.
"""

from __future__ import annotations

import re
from enum import StrEnum

from bot.errors import UserError
from bot.models import sql
from bot.models.ids import now
from bot.models.tables import Membership, Project, Token, User
from bot.models.tokens import Scope

# The route of whoever asks is `/users/me`.
_RESERVED = frozenset({"me"})
_LOGIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,37}[a-z0-9])?")


class InstanceRole(StrEnum):
    """What a user is everywhere."""

    MEMBER = "member"
    ADMIN = "admin"


class Role(StrEnum):
    """What a user is in one project; each may do what the one before may."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    OWNER = "owner"

    @property
    def scope(self) -> Scope:
        """All that this role allows."""
        return _SCOPES[self]


_SCOPES = {Role.VIEWER: Scope.READ, Role.DEVELOPER: Scope.DEPLOY, Role.OWNER: Scope.ADMIN}


def create(login: str, role: InstanceRole = InstanceRole.MEMBER) -> User:
    """Raises `UserError`: `invalid-login`, `login-taken`."""
    if not _LOGIN.fullmatch(login) or login in _RESERVED:
        raise UserError(
            "invalid-login",
            "A login has up to 39 small letters, digits, dots, hyphens and underscores.",
        )
    if User.select().where(User.login == login).exists():
        raise UserError("login-taken", f"There is a user {login} already.")
    created: User = User.create(login=login, role=role, created_at=now())
    return created


def by_login(login: str) -> User:
    """Raises `UserError`: `user-not-found`."""
    found: User | None = User.get_or_none(User.login == login)
    if found is None:
        raise UserError("user-not-found", "There is no such user.")
    return found


def set_role(user: User, role: InstanceRole) -> None:
    """Raises `UserError`: `last-admin`."""
    if role is not InstanceRole.ADMIN:
        _require_another_admin(user)
    User.update(role=role).where(User.id == user.id).execute()


def delete(user: User) -> None:
    """Remove a user with their memberships and tokens. Raises `UserError`: `last-admin`."""
    _require_another_admin(user)
    User.delete().where(User.id == user.id).execute()


_ROLES = """
SELECT m.project_id, m.role FROM memberships m WHERE m.user_id = ?
UNION ALL
SELECT p.id, m.role FROM memberships m JOIN projects p ON p.main_id = m.project_id
WHERE m.user_id = ?
"""


def roles_of(user_id: int) -> dict[int, Role]:
    """Project id → role. In the other projects of a repository somebody is what they are in
    the main one, unless they are more."""
    found: dict[int, Role] = {}
    for project_id, said in sql.rows(_ROLES, user_id, user_id):
        role = Role(said)
        if project_id not in found or role.scope.includes(found[project_id].scope):
            found[project_id] = role
    return found


def memberships_of(user_id: int) -> list[Membership]:
    """With their projects, by name."""
    return list(
        Membership.select(Membership, Project)
        .join(Project)
        .where(Membership.user == user_id)
        .order_by(Project.name)
    )


def members_of(project_id: int) -> list[Membership]:
    """With their users, by login."""
    return list(
        Membership.select(Membership, User)
        .join(User)
        .where(Membership.project == project_id)
        .order_by(User.login)
    )


def join(project_id: int, user_id: int, role: Role) -> None:
    """Make a user a member of a project, or change what they are in it."""
    mine = (Membership.project == project_id) & (Membership.user == user_id)
    if not Membership.update(role=role).where(mine).execute():
        Membership.create(project=project_id, user=user_id, role=role, created_at=now())


def leave(project_id: int, user_id: int) -> bool:
    """`False`: they are no member."""
    mine = (Membership.project == project_id) & (Membership.user == user_id)
    return bool(Membership.delete().where(mine).execute())


def nobody_yet() -> bool:
    """Whether this instance has neither users nor tokens."""
    return not User.select().exists() and not Token.select().exists()


def first_admin() -> User:
    """The administrator named `admin`, made where there is none, and in office again."""
    found: User | None = User.get_or_none(User.login == "admin")
    if found is None:
        return create("admin", InstanceRole.ADMIN)
    set_role(found, InstanceRole.ADMIN)
    return found


def _require_another_admin(user: User) -> None:
    admins = User.select().where(User.role == InstanceRole.ADMIN)
    if user.role == InstanceRole.ADMIN and admins.count() == 1:
        raise UserError(
            "last-admin",
            f"{user.login} is the only administrator.",
            "Make another one first.",
        )
