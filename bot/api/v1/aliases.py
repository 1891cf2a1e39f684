"""Aliases: where names lead, and those that people set by hand."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing, require_match
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import Asked, Page, Paged, ProjectPath, Time
from bot.models import aliases
from bot.models.addresses import alias_path
from bot.models.status import AliasKind
from bot.models.tables import Alias
from bot.models.tokens import Scope
from bot.settings import Settings


class AliasPath(ProjectPath):
    name: str = Field(max_length=100)


class AliasIn(Asked):
    deployment_id: str = Field(max_length=64)


class AliasOut(BaseModel):
    """A moving name for a deployment."""

    kind: AliasKind = Field(description="`custom`: set by hand, and moved by hand alone.")
    name: str
    address: str = Field(description="Its label under the preview domain.")
    url: str
    deployment_id: str
    updated_at: Time


class OneAlias(BaseModel):
    data: AliasOut


class AliasPage(Page):
    data: list[AliasOut]


class AliasFilter(Paged):
    kind: AliasKind | None = None
    name: str = Field("", max_length=255)
    deployment_id: str = Field("", max_length=64)


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("aliases", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="aliases")])
    settings, control = services.settings, services.control

    @api.get(
        "/projects/<project_id>/aliases",
        summary="A project's aliases: production, branches, pull requests, and those set by hand",
        responses={200: AliasPage, 400: Problem, 404: Problem},
    )
    def list_aliases(path: ProjectPath, query: AliasFilter) -> Response:
        found = find.project(path.project_id, Scope.READ)
        rows = Alias.select().where(Alias.project == found.id)
        if query.kind is not None:
            rows = rows.where(Alias.kind == query.kind)
        if query.name:
            rows = rows.where(Alias.name == query.name)
        if query.deployment_id:
            rows = rows.where(Alias.deployment == query.deployment_id)
        shown, cursor = page_of(rows, Alias.id, query)
        return answer(AliasPage(data=[_shown(row, settings) for row in shown], next=cursor))

    @api.put(
        "/projects/<project_id>/aliases/<name>",
        summary="Make a name lead to a deployment",
        description=(
            "Small letters, digits and single hyphens. Wherever the name led before, the next "
            "request sees the deployment; it must be live."
        ),
        responses={200: OneAlias, 404: Problem, 409: Problem, 422: Problem},
    )
    def set_alias(path: AliasPath, body: AliasIn) -> Response:
        found = find.project(path.project_id, Scope.DEPLOY)
        alias = control.set_alias(find.caller().name, found, path.name, body.deployment_id)
        return answer(OneAlias(data=_shown(alias, settings)))

    @api.delete(
        "/projects/<project_id>/aliases/<name>",
        summary="Take a name away that was set by hand",
        responses={204: None, 404: Problem, 412: Problem},
    )
    def remove_alias(path: AliasPath) -> Response:
        found = find.project(path.project_id, Scope.DEPLOY)
        require_match(OneAlias(data=_shown(aliases.by_hand(found.id, path.name), settings)))
        control.remove_alias(find.caller().name, found, path.name)
        return nothing()

    return api


def _shown(alias: Alias, settings: Settings) -> AliasOut:
    return AliasOut(
        kind=AliasKind(alias.kind),
        name=alias.name,
        address=alias.address,
        url=settings.alias_url(alias.address, alias_path(alias.address)),
        deployment_id=alias.deployment_id,
        updated_at=alias.updated_at,
    )
