"""Deployments: list, look, files, delete, and the direct upload of files by digest."""

from __future__ import annotations

from typing import Annotated

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field, StringConstraints

from bot.api import deploy
from bot.api.conditional import answer, nothing, require_match
from bot.api.deploy import Deployed
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import (
    DeploymentPage,
    DeploymentPath,
    Environment,
    FilePage,
    FilesIn,
    Missing,
    Number,
    OneDeployment,
    Paged,
    deployment_out,
    file_out,
)
from bot.errors import UserError
from bot.events import BuildFailed
from bot.models import audit, changes
from bot.models.status import GONE, DeploymentStatus
from bot.models.tables import Deployment, File, Project
from bot.models.tokens import Scope
from bot.uploads.intake import Uploads
from bot.uploads.receive import TooLarge, chunks_of


class DeploymentFilter(Paged):
    project_id: Number | None = None
    project: str = Field("", max_length=200, description="A project's name.")
    sha: str = Field("", max_length=64, description="A full commit SHA.")
    ref: str = Field("", max_length=255, description="A branch.")
    environment: Environment | None = None
    status: DeploymentStatus | None = None


class DigestPath(BaseModel):
    # The pattern is checked by hand: a path's problem is a 404 to most clients.
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def blueprint(services: Services, uploads: Uploads) -> APIBlueprint:
    api = APIBlueprint(
        "deployments", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="deployments")]
    )
    settings, database, store = services.settings, services.database, services.store

    @api.get("/deployments", summary="List deployments", responses={200: DeploymentPage})
    def list_deployments(query: DeploymentFilter) -> Response:
        rows = Deployment.select(Deployment, Project).join(Project)
        rows = find.visible(rows, Deployment.project)
        if query.sha:
            rows = rows.where(Deployment.sha == query.sha)
        if query.ref:
            rows = rows.where(Deployment.ref == query.ref)
        if query.environment is not None:
            rows = rows.where(Deployment.environment == query.environment)
        if query.status is not None:
            rows = rows.where(Deployment.status == query.status)
        if query.project:
            rows = rows.where(Project.name == query.project)
        if query.project_id is not None:
            rows = rows.where(Deployment.project == query.project_id)
        found, cursor = page_of(rows, Deployment.id, query)
        data = [deployment_out(row, settings) for row in found]
        return answer(DeploymentPage(data=data, next=cursor))

    @api.post(
        "/deployments",
        summary="Deploy files that are here already",
        description=(
            "A site by its contents: send path → SHA-256 of every file. Contents that are not "
            "here yet are named in a 409 (`missing`); upload those, and send this again. "
            "A second deployment of a large site uploads only what changed."
        ),
        responses={201: Deployed, 202: Deployed, 409: Problem, 422: Problem},
    )
    def deploy_files(body: FilesIn) -> Response:
        caller = find.caller()
        caller.require(Scope.DEPLOY)
        options = deploy.options_of(caller, body.project, body.ref, body.production)
        taken = uploads.take_files(
            body.files, options, lambda name: caller.require_name(Scope.DEPLOY, name)
        )
        return deploy.answer(taken, services)

    @api.post(
        "/deployments/missing",
        summary="Which contents are to be uploaded",
        responses={200: Missing, 422: Problem},
    )
    def missing(body: FilesIn) -> Response:
        caller = find.caller()
        caller.require(Scope.DEPLOY)
        return answer(Missing(missing=uploads.missing(body.files)))

    @api.put(
        "/contents/<digest>",
        summary="Upload one content",
        description="The body is the content; its SHA-256 is in the path. Needs doing once only.",
        responses={204: None, 400: Problem, 413: Problem},
        openapi_extensions={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string"}}},
            }
        },
    )
    def put_content(path: DigestPath) -> Response:
        caller = find.caller()
        caller.require(Scope.DEPLOY)
        size = request.content_length
        if size is not None and size > settings.MAX_FILE_SIZE:
            raise TooLarge(settings.MAX_FILE_SIZE)
        chunks = chunks_of(request.environ, settings.MAX_FILE_SIZE)
        if store.size(path.digest) is None:
            digest, _ = store.put_bytes(chunks)
            if digest != path.digest:
                raise UserError("digest-mismatch", f"The content's SHA-256 is {digest}.")
        return nothing()

    @api.get(
        "/deployments/<deployment_id>",
        summary="A deployment",
        responses={200: OneDeployment, 404: Problem},
    )
    def get_deployment(path: DeploymentPath) -> Response:
        found = find.deployment(path.deployment_id, Scope.READ)
        return answer(OneDeployment(data=deployment_out(found, settings)))

    @api.get(
        "/deployments/<deployment_id>/files",
        summary="A deployment's files",
        responses={200: FilePage, 404: Problem},
    )
    def list_files(path: DeploymentPath, query: Paged) -> Response:
        found = find.deployment(path.deployment_id, Scope.READ)
        rows = File.select().where(File.deployment == found.id)
        files, cursor = page_of(rows, File.id, query)
        return answer(FilePage(data=[file_out(row) for row in files], next=cursor))

    @api.delete(
        "/deployments/<deployment_id>",
        summary="Delete a deployment",
        description="Not while production leads to it. Its builds and logs can still be read.",
        responses={204: None, 404: Problem, 409: Problem, 412: Problem},
    )
    def delete_deployment(path: DeploymentPath) -> Response:
        found = find.deployment(path.deployment_id, Scope.DEPLOY)
        require_match(OneDeployment(data=deployment_out(found, settings)))
        if found.status in GONE:
            return nothing()
        with database.write():
            for build_id in changes.delete_deployment(found.id):
                services.bus.publish(BuildFailed(found.id, build_id))
            audit.note(
                find.caller().name, "deployment.delete", found.id, project=found.project.name
            )
        services.tell()
        store.delete(found.id)
        uploads.sources.forget(found.id)
        return nothing()

    return api
