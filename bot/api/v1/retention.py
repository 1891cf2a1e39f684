"""How long a project's deployments are kept, and why one is."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import Asked, DeploymentPath, ProjectPath, Time
from bot.models import policies
from bot.models.ids import now
from bot.models.retention import why_kept
from bot.models.tokens import Scope
from bot.retention import default_policy

Days = Annotated[int, Field(ge=0, le=36500)]


class RetentionIn(Asked):
    """What is left out, or null, is as the operator says. Days of 0: for ever."""

    closed_days: Days | None = Field(
        None, description="Days that previews outlive their branch or pull request."
    )
    idle_days: Days | None = Field(
        None, description="Days that unvisited deployments stay that no name leads to."
    )
    production_kept: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        None, description="Newest production deployments that stay, used or not."
    )
    failed_days: Days | None = Field(
        None, description="Days that builds that led to nothing stay, with their logs."
    )


class RetentionOut(BaseModel):
    """What holds, and what of it the project says itself."""

    closed_days: int
    idle_days: int
    production_kept: int
    failed_days: int
    own: RetentionIn


class KeptOut(BaseModel):
    """Why a deployment is still there."""

    status: str
    needed: bool = Field(description="Whether it stays, whatever room it takes.")
    reasons: list[str] = Field(description="Empty: it is gone, or goes at the next run.")
    expires_at: Time | None = Field(description="When its time is up, if that is known.")


class OneRetention(BaseModel):
    data: RetentionOut


class OneKept(BaseModel):
    data: KeptOut


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("retention", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="storage")])
    default = default_policy(services.settings)

    @api.get(
        "/projects/<project_id>/retention",
        summary="How long a project's deployments are kept",
        responses={200: OneRetention, 404: Problem},
    )
    def get_retention(path: ProjectPath) -> Response:
        return answer(_out(find.project(path.project_id, Scope.READ).id))

    @api.put(
        "/projects/<project_id>/retention",
        summary="Say how long a project's deployments are kept",
        responses={200: OneRetention, 404: Problem, 422: Problem},
    )
    def put_retention(path: ProjectPath, body: RetentionIn) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        services.control.set_retention(find.caller().name, found, body.model_dump())
        return answer(_out(found.id))

    @api.delete(
        "/projects/<project_id>/retention",
        summary="Keep a project's deployments for as long as the operator says",
        responses={204: None, 404: Problem},
    )
    def delete_retention(path: ProjectPath) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        services.control.set_retention(find.caller().name, found, {})
        return nothing()

    @api.get(
        "/deployments/<deployment_id>/kept",
        summary="Why a deployment is kept",
        responses={200: OneKept, 404: Problem},
    )
    def get_kept(path: DeploymentPath) -> Response:
        found = find.deployment(path.deployment_id, Scope.READ)
        policy = policies.of_project(found.project_id, default)
        kept = why_kept(found.project_id, found.id, policy, now())
        out = KeptOut(
            status=found.status, needed=kept.needed, reasons=list(kept.reasons),
            expires_at=kept.expires_at,
        )  # fmt: skip
        return answer(OneKept(data=out))

    def _out(project_id: int) -> OneRetention:
        holds = policies.of_project(project_id, default)
        own = RetentionIn(**policies.own(project_id))
        values = {name: getattr(holds, name) for name in policies.NAMES}
        return OneRetention(data=RetentionOut(**values, own=own))

    return api
