"""Builds: list, look, log, cancel, retry."""

from __future__ import annotations

import re

from flask import Response, request, send_file
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from bot.api.conditional import answer
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find, following
from bot.api.v1.following import Followers
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import (
    BuildPage,
    BuildPath,
    Number,
    OneBuild,
    Paged,
    build_out,
)
from bot.errors import UserError
from bot.logs import Logs
from bot.models.status import BuildStatus
from bot.models.tables import Build, Deployment, Project
from bot.models.tokens import Scope

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class BuildFilter(Paged):
    sha: str = Field("", max_length=64, description="A full commit SHA.")
    project_id: Number | None = None
    project: str = Field("", max_length=200, description="A project's name.")
    deployment_id: str = Field("", max_length=64)
    status: BuildStatus | None = None


class Retry(BaseModel):
    no_cache: bool = Field(
        False,
        description="Whether dependencies are installed anew, caches are left alone, and neither "
        "an earlier output nor the project's ignore rules count.",
    )


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("builds", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="builds")])
    settings = services.settings
    followers = Followers(settings)
    logs = Logs(settings)

    @api.get("/builds", summary="List builds", responses={200: BuildPage, 400: Problem})
    def list_builds(query: BuildFilter) -> Response:
        rows = Build.select(Build, Deployment, Project).join(Deployment).join(Project)
        rows = find.visible(rows, Deployment.project)
        if query.sha:
            if not _SHA.fullmatch(query.sha):
                raise UserError("invalid-sha", "Give a full commit SHA: ?sha=<sha>.")
            rows = rows.where(Deployment.sha == query.sha)
        if query.deployment_id:
            rows = rows.where(Deployment.id == query.deployment_id)
        if query.status is not None:
            rows = rows.where(Build.status == query.status)
        if query.project:
            rows = rows.where(Project.name == query.project)
        if query.project_id is not None:
            rows = rows.where(Build.project_id == query.project_id)
        found, cursor = page_of(rows, Build.id, query)
        return answer(BuildPage(data=[build_out(row, settings) for row in found], next=cursor))

    @api.get("/builds/<build_id>", summary="A build", responses={200: OneBuild, 404: Problem})
    def get_build(path: BuildPath) -> Response:
        build = find.build(path.build_id, Scope.READ)
        return answer(OneBuild(data=build_out(build, settings)))

    @api.get(
        "/builds/<build_id>/log",
        summary="A build's log",
        description=(
            "As plain text, of which `Range` gives a part; or, with `Accept: "
            "text/event-stream`, as it is written. Events are `line` (their id is where the "
            "next one begins, for `Last-Event-ID`) and one `end` with the build's status."
        ),
        responses={
            200: {"content": {kind: {"schema": {"type": "string"}} for kind in _LOG_TYPES}},
            206: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            404: Problem,
            416: Problem,
        },
    )
    def get_log(path: BuildPath) -> Response:
        build = find.build(path.build_id, Scope.READ)
        if request.accept_mimetypes.best_match(_LOG_TYPES) == following.MEDIA_TYPE:
            return followers.stream(build.id)
        size = logs.size(build)
        if not size:
            return Response(b"", mimetype="text/plain")
        if request.range is not None and request.range.range_for_length(size) is None:
            raise RequestedRangeNotSatisfiable(size)
        if (file := logs.file(build)) is not None:
            return send_file(file.resolve(), mimetype="text/plain", conditional=True, max_age=0)
        content = logs.read(build)
        whole = Response(content, mimetype="text/plain")
        whole.make_conditional(request, accept_ranges=True, complete_length=len(content))
        return whole

    @api.post(
        "/builds/<build_id>/cancel",
        summary="Cancel a build",
        responses={200: OneBuild, 404: Problem, 409: Problem},
    )
    def cancel(path: BuildPath) -> Response:
        build = find.build(path.build_id, Scope.DEPLOY)
        services.control.cancel(find.caller().name, build)
        return answer(OneBuild(data=build_out(find.build(build.id, Scope.DEPLOY), settings)))

    @api.post(
        "/builds/<build_id>/retry",
        summary="Build again what did not succeed",
        responses={202: OneBuild, 404: Problem, 409: Problem, 410: Problem},
    )
    def retry(path: BuildPath, query: Retry) -> Response:
        build = find.build(path.build_id, Scope.DEPLOY)
        build_id = services.control.retry(find.caller().name, build, fresh=query.no_cache)
        again = find.build(build_id, Scope.DEPLOY)
        return answer(OneBuild(data=build_out(again, settings)), 202)

    return api


_LOG_TYPES = ("text/plain", following.MEDIA_TYPE)
