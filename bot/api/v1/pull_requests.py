"""Pull requests from forks, which wait for somebody's approval of their very commit."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field, StringConstraints

from bot.api.conditional import answer
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import Asked, OneBuild, ProjectPath, Time, build_out
from bot.errors import UserError
from bot.models import approvals, projects
from bot.models.approvals import Waiting
from bot.models.tokens import Scope


class PullRequestPath(BaseModel):
    owner: str = Field(max_length=100)
    name: str = Field(max_length=100)
    number: Annotated[int, Field(ge=1, le=(1 << 31) - 1)]


class Approval(Asked):
    """What was looked at, to the letter: what is pushed later is not approved."""

    sha: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class WaitingOut(BaseModel):
    """A pull request whose newest commit waits for approval."""

    number: int
    sha: str
    branch: str
    moved_at: Time


class WaitingList(BaseModel):
    data: list[WaitingOut]


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint(
        "pull-requests", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="pull requests")]
    )

    @api.get(
        "/projects/<project_id>/approvals",
        summary="Pull requests from forks that wait for approval",
        responses={200: WaitingList, 404: Problem},
    )
    def list_waiting(path: ProjectPath) -> Response:
        found = find.project(path.project_id, Scope.READ)
        return answer(WaitingList(data=[_out(row) for row in approvals.waiting(found.id)]))

    @api.post(
        "/projects/<owner>/<name>/pulls/<number>/approve",
        summary="Build the commit of a fork's pull request",
        description=(
            "Somebody's code is built on this host, without secrets. Look at it first. Approving "
            "what is approved already changes nothing."
        ),
        responses={202: OneBuild, 404: Problem, 409: Problem},
    )
    def approve(path: PullRequestPath, body: Approval) -> Response:
        repository = f"{path.owner}/{path.name}"
        known = projects.by_name(repository)
        if known is None:
            raise UserError("project-not-found", "There is no such project.")
        project = find.project(known.id, Scope.DEPLOY)
        requested = services.control.approve(find.caller().name, project, path.number, body.sha)
        if not requested.build_id:
            raise UserError("conflict", "The commit asks not to be built.")
        build = find.build(requested.build_id, Scope.READ)
        return answer(OneBuild(data=build_out(build, services.settings)), 202)

    return api


def _out(row: Waiting) -> WaitingOut:
    return WaitingOut.model_validate(row, from_attributes=True)
