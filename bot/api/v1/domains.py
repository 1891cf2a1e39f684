"""Custom domains of projects: claimed, proven by DNS, taken away."""

from __future__ import annotations

from typing import Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import DomainIn, ProjectPath, Time
from bot.domains import records
from bot.errors import UserError
from bot.models import domains
from bot.models.domains import DomainState
from bot.models.tables import Domain, Project
from bot.models.tokens import Scope


class DomainPath(ProjectPath):
    domain: str = Field(max_length=253)


class RecordOut(BaseModel):
    """A DNS record that proves the domain."""

    type: Literal["TXT", "CNAME"]
    name: str
    value: str


class DomainOut(BaseModel):
    """A custom domain. It is served, and gets a certificate, once it is verified."""

    name: str
    state: DomainState
    records: list[RecordOut] = Field(description="One of these is enough to prove it.")
    problem: str = Field(description="What the last look found missing.")
    created_at: Time
    verified_at: Time | None = Field(description="When the proof was last seen.")


class OneDomain(BaseModel):
    data: DomainOut


class DomainList(BaseModel):
    data: list[DomainOut]


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("domains", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="domains")])
    settings, control = services.settings, services.control

    def shown(domain: Domain, project: Project) -> DomainOut:
        wanted = [
            RecordOut.model_validate(row, from_attributes=True)
            for row in records(domain, project.name, settings)
        ]
        return DomainOut(
            name=domain.name,
            state=DomainState(domain.state),
            records=wanted,
            problem=domain.problem,
            created_at=domain.created_at,
            verified_at=domain.verified_at,
        )

    @api.get(
        "/projects/<project_id>/domains",
        summary="A project's domains",
        responses={200: DomainList, 404: Problem},
    )
    def list_domains(path: ProjectPath) -> Response:
        found = find.project(path.project_id, Scope.READ)
        rows = domains.of_project(found.id)
        return answer(DomainList(data=[shown(row, found) for row in rows]))

    @api.post(
        "/projects/<project_id>/domains",
        summary="Serve production under a domain too",
        description="Once one of the records that the answer names is found in its DNS.",
        responses={201: OneDomain, 404: Problem, 409: Problem},
    )
    def add_domain(path: ProjectPath, body: DomainIn) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        claimed = control.add_domain(find.caller().name, found, body.domain)
        return answer(OneDomain(data=shown(claimed, found)), 201)

    @api.post(
        "/projects/<project_id>/domains/<domain>/verify",
        summary="Look for a domain's proof now",
        responses={200: OneDomain, 404: Problem},
    )
    def verify_domain(path: DomainPath) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        checked = control.verify_domain(find.caller().name, found, path.domain)
        return answer(OneDomain(data=shown(checked, found)))

    @api.delete(
        "/projects/<project_id>/domains/<domain>",
        summary="Take a domain away",
        responses={204: None, 404: Problem},
    )
    def remove_domain(path: DomainPath) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        if not control.remove_domain(find.caller().name, found, path.domain):
            raise UserError("domain-not-found", "The project has no such domain.")
        return nothing()

    return api
