"""Users, their roles, and what both make of a token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.errors import UserError
from bot.models import audit, rights, tokens, uploads, users
from bot.models.database import Database
from bot.models.tables import AuditEntry, Membership, Token
from bot.models.tokens import Scope
from bot.models.users import InstanceRole, Role


@pytest.fixture(autouse=True)
def transaction(database: Database) -> Iterator[None]:
    with database.write():
        yield


@pytest.fixture
def project_id() -> int:
    return int(uploads.project_for("site").id)


def caller_of(database: Database, *arguments: object, user_id: int | None = None) -> rights.Caller:
    _, secret = tokens.create("x", *arguments, user_id=user_id)  # type: ignore[arg-type]
    token = tokens.find(secret, database)
    assert token is not None
    return rights.of_token(token)


@pytest.mark.parametrize(
    ("role", "scope", "allowed"),
    [
        (Role.VIEWER, Scope.ADMIN, Scope.READ),
        (Role.DEVELOPER, Scope.ADMIN, Scope.DEPLOY),
        (Role.DEVELOPER, Scope.READ, Scope.READ),
        (Role.OWNER, Scope.ADMIN, Scope.ADMIN),
        (Role.OWNER, Scope.DEPLOY, Scope.DEPLOY),
    ],
)
def test_the_smaller_of_role_and_scope_counts(
    database: Database, project_id: int, role: Role, scope: Scope, allowed: Scope
) -> None:
    user = users.create("ann")
    users.join(project_id, user.id, role)
    other = uploads.project_for("other")
    caller = caller_of(database, scope, user_id=user.id)
    assert caller.scope_in(project_id) is allowed
    assert caller.scope_in(other.id) is None
    assert caller.project_ids() == {project_id}
    caller.require_in(allowed, project_id)
    for denied in (scope_ for scope_ in Scope if not allowed.includes(scope_)):
        with pytest.raises(UserError, match="needs"):
            caller.require_in(denied, project_id)
    with pytest.raises(UserError, match="no member"):
        caller.require_in(Scope.READ, other.id)
    with pytest.raises(UserError):
        caller.require_everywhere(Scope.READ)


def test_an_administrators_token_is_bound_by_its_scope_and_project_alone(
    database: Database, project_id: int
) -> None:
    admin = users.create("root", InstanceRole.ADMIN)
    other = uploads.project_for("other")
    everywhere = caller_of(database, Scope.DEPLOY, user_id=admin.id)
    assert everywhere.project_ids() is None
    everywhere.require_everywhere(Scope.DEPLOY)
    here = caller_of(database, Scope.ADMIN, project_id, user_id=admin.id)
    assert (here.scope_in(project_id), here.scope_in(other.id)) == (Scope.ADMIN, None)
    with pytest.raises(UserError, match="alone"):
        here.require_everywhere(Scope.READ)


def test_nobodys_token_is_bound_by_its_scope_and_project_alone(
    database: Database, project_id: int
) -> None:
    caller = caller_of(database, Scope.DEPLOY, project_id)
    assert caller.scope_in(project_id) is Scope.DEPLOY
    caller.require_name(Scope.DEPLOY, "site")
    for name in ("other", "new"):
        with pytest.raises(UserError, match="alone"):
            caller.require_name(Scope.DEPLOY, name)


def test_a_role_is_changed_and_given_up(project_id: int) -> None:
    user = users.create("ann")
    users.join(project_id, user.id, Role.VIEWER)
    users.join(project_id, user.id, Role.OWNER)
    assert users.roles_of(user.id) == {project_id: Role.OWNER}
    assert [row.user.login for row in users.members_of(project_id)] == ["ann"]
    assert users.leave(project_id, user.id)
    assert not users.leave(project_id, user.id)


def test_a_user_goes_with_memberships_and_tokens(database: Database, project_id: int) -> None:
    user = users.create("ann")
    users.join(project_id, user.id, Role.VIEWER)
    caller_of(database, Scope.READ, user_id=user.id)
    users.delete(user)
    assert Membership.select().count() == Token.select().count() == 0


def test_the_last_administrator_stays() -> None:
    first = users.create("root", InstanceRole.ADMIN)
    with pytest.raises(UserError, match="only administrator"):
        users.delete(first)
    users.create("second", InstanceRole.ADMIN)
    users.set_role(first, InstanceRole.MEMBER)
    users.delete(users.by_login("root"))
    with pytest.raises(UserError, match="only administrator"):
        users.set_role(users.by_login("second"), InstanceRole.MEMBER)


def test_a_login_is_taken_once() -> None:
    users.create("ann")
    with pytest.raises(UserError, match="already"):
        users.create("ann")


def test_who_makes_a_project_owns_it_and_who_comes_later_does_not() -> None:
    first, second = users.create("ann"), users.create("bob")
    made = uploads.project_for("site", first.id)
    assert uploads.project_for("site", second.id).id == made.id
    assert users.roles_of(first.id) == {made.id: Role.OWNER}
    assert users.roles_of(second.id) == {}


def test_an_entry_names_its_project() -> None:
    audit.note("ann", "project.promote", "site", project="site", deployment="dpl-1")
    entry = AuditEntry.get()
    assert (entry.project, entry.details) == ("site", '{"deployment": "dpl-1"}')
