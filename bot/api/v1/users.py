"""Users of this instance: administrators look after them; everybody can look at themselves."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field, StringConstraints

from bot.api.conditional import answer, nothing, require_match
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import Asked, Page, Paged, Time
from bot.models import audit, users
from bot.models.tables import User
from bot.models.tokens import Scope
from bot.models.users import InstanceRole, Role

Login = Annotated[str, StringConstraints(max_length=39)]


class UserPath(BaseModel):
    login: Login


class UserIn(Asked):
    login: Login
    role: InstanceRole = InstanceRole.MEMBER


class UserChange(Asked):
    role: InstanceRole


class UserOut(BaseModel):
    """Who may act. Administrators may do everything, members what projects let them."""

    login: str
    role: InstanceRole
    created_at: Time


class MembershipOut(BaseModel):
    project_id: int
    project: str
    role: Role


class Myself(BaseModel):
    """Who asks, and what they may do."""

    login: str | None = Field(description="Empty for a token that is nobody's.")
    role: InstanceRole | None
    scope: Scope = Field(description="What the token is for.")
    project: str | None = Field(description="The project that the token is for, if only one.")
    memberships: list[MembershipOut]


class OneUser(BaseModel):
    data: UserOut


class OneMyself(BaseModel):
    data: Myself


class UserPage(Page):
    data: list[UserOut]


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("users", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="users")])
    database = services.database

    @api.get("/users", summary="List users", responses={200: UserPage})
    def list_users(query: Paged) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        rows, cursor = page_of(User.select(), User.id, query)
        return answer(UserPage(data=[_out(row) for row in rows], next=cursor))

    @api.post(
        "/users",
        summary="Make a user",
        description="They act by tokens: make one with `user` at `POST /api/v1/tokens`.",
        responses={201: OneUser, 409: Problem, 422: Problem},
    )
    def create_user(body: UserIn) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        with database.write():
            created = users.create(body.login, body.role)
            audit.note(find.caller().name, "user.create", body.login, role=body.role)
        response = answer(OneUser(data=_out(created)), 201)
        response.headers["Location"] = f"/api/v1/users/{created.login}"
        return response

    @api.get("/users/me", summary="Who you are, and what you may do", responses={200: OneMyself})
    def get_myself() -> Response:
        caller = find.caller()
        mine = users.memberships_of(caller.user_id) if caller.user_id is not None else []
        user = users.by_login(caller.login) if caller.login else None
        return answer(
            OneMyself(
                data=Myself(
                    login=caller.login or None,
                    role=InstanceRole(user.role) if user is not None else None,
                    scope=caller.scope,
                    project=caller.project or None,
                    memberships=[
                        MembershipOut(
                            project_id=row.project_id, project=row.project.name, role=Role(row.role)
                        )
                        for row in mine
                    ],
                )
            )
        )

    @api.get("/users/<login>", summary="A user", responses={200: OneUser, 404: Problem})
    def get_user(path: UserPath) -> Response:
        if path.login != find.caller().login:
            find.caller().require_everywhere(Scope.ADMIN)
        return answer(OneUser(data=_out(users.by_login(path.login))))

    @api.patch(
        "/users/<login>",
        summary="Change what a user is everywhere",
        responses={200: OneUser, 404: Problem, 409: Problem, 412: Problem},
    )
    def change_user(path: UserPath, body: UserChange) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        with database.write():
            user = users.by_login(path.login)
            require_match(OneUser(data=_out(user)))
            users.set_role(user, body.role)
            audit.note(find.caller().name, "user.change", user.login, role=body.role)
        return answer(OneUser(data=_out(users.by_login(path.login))))

    @api.delete(
        "/users/<login>",
        summary="Remove a user, with their tokens and memberships",
        responses={204: None, 404: Problem, 409: Problem, 412: Problem},
    )
    def delete_user(path: UserPath) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        with database.write():
            user = users.by_login(path.login)
            require_match(OneUser(data=_out(user)))
            users.delete(user)
            audit.note(find.caller().name, "user.delete", user.login)
        return nothing()

    return api


def _out(user: User) -> UserOut:
    return UserOut.model_validate(user, from_attributes=True)
