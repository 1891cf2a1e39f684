"""`POST /deploy`: an archive or a repository's address becomes a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, g, jsonify, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.api import problems
from bot.api.problems import Problem
from bot.api.services import Services
from bot.errors import UserError
from bot.models.rights import Caller
from bot.models.tokens import Scope
from bot.uploads.intake import Options, Taken, Uploads
from bot.uploads.receive import receive

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


class DeployRepository(BaseModel):
    """A repository that is fetched and deployed."""

    model_config = ConfigDict(extra="forbid")

    github_url: str = Field(
        max_length=2048, examples=["https://github.com/owner/site"], description="Any Git host's."
    )
    ref: str = Field("", max_length=255, description="Branch, tag or SHA. Default: HEAD.")
    project: str = Field(
        "", max_length=200, description="Default: the token's, else the repository's name."
    )
    production: bool = Field(False, description="Whether it becomes the project's production.")


class Deployed(BaseModel):
    """A deployment: live (201), or being built (202)."""

    deployment_id: str = Field(examples=["dpl-01jdg0zq8w3v5x7y9a1b2c3d4e"])
    build_id: str
    project: str
    status: str = Field(description="The build's status.")
    url: str = Field(description="Where it is, or will be.")
    status_url: str = Field(description="The build, as the API has it.")
    log_url: str


# The body in its three forms, for the description of the API.
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "contentMediaType": "application/octet-stream"},
                    "project": {"type": "string"},
                    "ref": {"type": "string"},
                    "production": {"type": "boolean"},
                },
            }
        },
        "application/json": {
            "schema": {"$ref": "#/components/schemas/DeployRepository"},
        },
        **{
            kind: {"schema": {"type": "string", "contentMediaType": kind}}
            for kind in ("application/zip", "application/gzip", "application/zstd")
        },
    },
}


def blueprint(services: Services, uploads: Uploads) -> APIBlueprint:
    api = APIBlueprint("deploy", __name__, abp_tags=[Tag(name="deploy")])
    settings = services.settings

    @api.post(
        "/deploy",
        summary="Deploy an archive or a repository",
        description=(
            "A zip, tar.gz or tar.zst file as the form field `file`, or as the body itself with "
            "the options in the query; or JSON with a repository's address. What needs no build "
            "is live when this answers (201); anything else is queued (202)."
        ),
        responses={201: Deployed, 202: Deployed, 413: Problem, 415: Problem, 422: Problem},
    )
    def deploy() -> Response:
        caller: Caller = g.caller
        caller.require(Scope.DEPLOY)

        def authorise(project: str) -> None:
            caller.require_name(Scope.DEPLOY, project)

        if request.mimetype == "application/json":
            try:
                asked = DeployRepository.model_validate_json(_small_body())
            except ValidationError as error:
                return problems.of_validation(error)
            options = options_of(caller, asked.project, asked.ref, asked.production)
            taken = uploads.take_remote(asked.github_url, options, authorise)
        else:
            folder = uploads.sources.root
            with receive(request.environ, folder, settings.MAX_UPLOAD_SIZE) as received:
                options = _options(received.fields, caller)
                taken = uploads.take_archive(received, options, authorise)
        return answer(taken, services)

    return api


def answer(taken: Taken, services: Services) -> Response:
    """201 where it is live, 202 where it is being built."""
    settings = services.settings
    deployed = Deployed(
        deployment_id=taken.deployment_id,
        build_id=taken.build_id,
        project=taken.project,
        status=taken.status,
        url=settings.deployment_url(taken.deployment_id),
        status_url=f"{settings.PUBLIC_URL}/api/v1/builds/{taken.build_id}",
        log_url=f"{settings.build_url(taken.build_id)}/log",
    )
    response = jsonify(deployed.model_dump())
    response.status_code = 201 if taken.ready else 202
    response.headers["Location"] = deployed.url if taken.ready else deployed.status_url
    return response


def options_of(caller: Caller, project: str, ref: str, production: bool) -> Options:
    """A token that is for one project alone deploys to that, unless another is named."""
    return Options(
        project or caller.project, ref, production, actor=caller.name, user_id=caller.user_id
    )


def _options(fields: Mapping[str, str], caller: Caller) -> Options:
    production = fields.get("production", "").lower()
    if production not in _TRUE | _FALSE:
        raise UserError("invalid-request", "`production` is yes or no.")
    project, ref = fields.get("project", ""), fields.get("ref", "")
    return options_of(caller, project, ref, production in _TRUE)


def _small_body() -> bytes:
    request.max_content_length = 64 << 10
    return request.get_data()
