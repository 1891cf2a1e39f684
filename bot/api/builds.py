"""`GET /api/v1/builds?sha=…`: what scripts follow a commit's builds by, without a token.

The rest of the API is put together when it is first asked for; this is there at once.
"""

from __future__ import annotations

import json
import re
from typing import Any

from flask import Blueprint, Response, jsonify, request

from bot.models import deployments, foresight
from bot.models.status import BuildStatus
from bot.models.tables import Build
from bot.project_name import key_of
from bot.settings import Settings

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def blueprint(settings: Settings) -> Blueprint:
    pages = Blueprint("api-builds", __name__, url_prefix="/api/v1")

    @pages.get("/builds")
    def list_builds() -> Response:
        sha = request.args.get("sha", "")
        if not _SHA.fullmatch(sha):
            return _problem(400, "invalid-sha", "Give a full commit SHA: /api/v1/builds?sha=<sha>.")
        found = deployments.builds_of_commit(sha)
        return jsonify(data=[as_json(build, settings) for build in found])

    return pages


def as_json(build: Build, settings: Settings) -> dict[str, Any]:
    """A build as the API shows it; `stages` are seconds, times are milliseconds since 1970."""
    deployment = build.deployment
    return {
        "id": build.id,
        "deployment_id": deployment.id,
        "project": deployment.project.name,
        "sha": deployment.sha,
        "ref": deployment.ref,
        "environment": deployment.environment,
        "status": build.status,
        "framework": build.framework,
        "url": settings.deployment_url(
            key_of(deployment.project.name, deployment.sha, deployment.id)
        ),
        "log_url": settings.build_url(build.id) + "/log",
        "stages": json.loads(build.stages),
        "error_code": build.error_code,
        "error_message": build.error_message,
        "created_at": build.created_at,
        "started_at": build.started_at,
        "completed_at": build.completed_at,
        "queue": _prospects(build, settings),
    }


def _prospects(build: Build, settings: Settings) -> dict[str, Any] | None:
    """What a waiting build may expect; `seconds` may be unknown."""
    if build.status != BuildStatus.QUEUED:
        return None
    found = foresight.waiting(settings.PROJECT_CONCURRENCY).get(build.id)
    if found is None:
        return None
    seconds = round(found.seconds, 1) if found.seconds is not None else None
    return {
        "place": found.place,
        "seconds": seconds,
        "reason": found.reason,
        "text": found.text,
    }


def _problem(status: int, code: str, message: str) -> Response:
    """https://www.rfc-editor.org/rfc/rfc9457"""
    body = {"title": message, "status": status, "code": code}
    response = jsonify(body)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response
