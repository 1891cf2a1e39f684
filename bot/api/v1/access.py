"""Who may see a project's pages: all, or who has a password, a link, or the repository."""

from __future__ import annotations

import time

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import Asked, DeploymentPath, ProjectPath
from bot.errors import UserError
from bot.models import access, audit
from bot.models.access import AccessKind
from bot.models.tokens import Scope
from bot.project_name import key_of
from bot.serve.access import share_query

_HOUR = 3600  # seconds


class AccessIn(Asked):
    """A change ends all links and all visitors' permissions of before."""

    kind: AccessKind
    password: str = Field("", max_length=1000, description="For `password`; never given out.")


class AccessOut(BaseModel):
    kind: AccessKind | None = Field(description="Empty: everybody may see it.")


class LinkIn(Asked):
    hours: int = Field(24, ge=1, le=24 * 366, description="For how long it lets visitors in.")


class LinkOut(BaseModel):
    url: str = Field(description="Whoever has it is let in.")
    expires_at: int = Field(description="Milliseconds since 1970, UTC.")


class OneAccess(BaseModel):
    data: AccessOut


class OneLink(BaseModel):
    data: LinkOut


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("access", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="access")])
    control = services.control

    @api.get(
        "/projects/<project_id>/access",
        summary="Who may see a project's pages",
        responses={200: OneAccess, 404: Problem},
    )
    def get_access(path: ProjectPath) -> Response:
        found = find.project(path.project_id, Scope.READ)
        return answer(_out(found.id))

    @api.put(
        "/projects/<project_id>/access",
        summary="Protect a project's pages",
        responses={200: OneAccess, 404: Problem, 422: Problem},
    )
    def put_access(path: ProjectPath, body: AccessIn) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        control.protect(find.caller().name, found, body.kind, body.password)
        return answer(_out(found.id))

    @api.delete(
        "/projects/<project_id>/access",
        summary="Show a project's pages to everybody",
        responses={204: None, 404: Problem},
    )
    def delete_access(path: ProjectPath) -> Response:
        control.open_to_all(find.caller().name, find.project(path.project_id, Scope.ADMIN))
        return nothing()

    @api.post(
        "/deployments/<deployment_id>/links",
        summary="Make a link that lets its bearer see a protected project",
        description="It leads to this one, and opens all of the project until it expires.",
        responses={201: OneLink, 404: Problem, 409: Problem},
    )
    def create_link(path: DeploymentPath, body: LinkIn) -> Response:
        found = find.deployment(path.deployment_id, Scope.DEPLOY)
        protection = access.access_of(found.project_id)
        if protection is None:
            raise UserError("conflict", "Everybody may see this project: it needs no link.")
        # Where the protection is that of the repository's main project, so is what it opens.
        find.caller().require_in(Scope.DEPLOY, protection.project_id)
        expires = int(time.time()) + body.hours * _HOUR
        with services.database.write():
            audit.note(
                find.caller().name,
                "link.create",
                found.id,
                project=found.project.name,
                hours=body.hours,
            )
        address = services.settings.deployment_url(key_of(found.project.name, found.sha, found.id))
        url = f"{address}?{share_query(protection, expires)}"
        return answer(OneLink(data=LinkOut(url=url, expires_at=expires * 1000)), 201)

    return api


def _out(project_id: int) -> OneAccess:
    protection = access.access_of(project_id)
    return OneAccess(data=AccessOut(kind=protection.kind if protection is not None else None))
