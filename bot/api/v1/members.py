"""Members of a project, and what they are in it: the affair of its owners."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from bot.api.conditional import answer, nothing
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import Asked, ProjectPath, Time
from bot.api.v1.users import Login
from bot.errors import UserError
from bot.models import audit, users
from bot.models.tables import Membership
from bot.models.tokens import Scope
from bot.models.users import Role


class MemberPath(ProjectPath):
    login: Login


class MemberIn(Asked):
    role: Role


class MemberOut(BaseModel):
    """A viewer sees a project, a developer also deploys, an owner may do everything in it."""

    login: str
    role: Role
    created_at: Time


class OneMember(BaseModel):
    data: MemberOut


class MemberList(BaseModel):
    data: list[MemberOut]


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("members", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="members")])
    database = services.database

    @api.get(
        "/projects/<project_id>/members",
        summary="A project's members",
        responses={200: MemberList, 404: Problem},
    )
    def list_members(path: ProjectPath) -> Response:
        found = find.project(path.project_id, Scope.READ)
        return answer(MemberList(data=[_out(row) for row in users.members_of(found.id)]))

    @api.put(
        "/projects/<project_id>/members/<login>",
        summary="Make a user a member, or change what they are",
        responses={200: OneMember, 404: Problem},
    )
    def put_member(path: MemberPath, body: MemberIn) -> Response:
        with database.write():
            found = find.project(path.project_id, Scope.ADMIN)
            user = users.by_login(path.login)
            users.join(found.id, user.id, body.role)
            audit.note(
                find.caller().name, "member.set", user.login, project=found.name, role=body.role
            )
        row = next(row for row in users.members_of(found.id) if row.user_id == user.id)
        return answer(OneMember(data=_out(row)))

    @api.delete(
        "/projects/<project_id>/members/<login>",
        summary="Take a member out; everybody may leave",
        responses={204: None, 404: Problem},
    )
    def remove_member(path: MemberPath) -> Response:
        leaves = path.login == find.caller().login
        with database.write():
            found = find.project(path.project_id, Scope.READ if leaves else Scope.ADMIN)
            if not users.leave(found.id, users.by_login(path.login).id):
                raise UserError("member-not-found", "They are no member of this project.")
            audit.note(find.caller().name, "member.remove", path.login, project=found.name)
        return nothing()

    return api


def _out(row: Membership) -> MemberOut:
    return MemberOut(login=row.user.login, role=Role(row.role), created_at=row.created_at)
