"""Home, a build's page, its log, and health: read-only, without cookies."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from bot import __version__
from bot.logs import Logs
from bot.models import deployments, foresight
from bot.models.status import ACTIVE, BuildStatus
from bot.models.tables import Build
from bot.project_name import key_of
from bot.settings import LOCAL_OWNER, Settings

# Pages need nothing from elsewhere, and nobody needs to frame them.
_CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def blueprint(settings: Settings) -> Blueprint:
    pages = Blueprint(
        "pages",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/_deploystack",
    )
    logs = Logs(settings)

    @pages.context_processor
    def globals_() -> dict[str, object]:
        return {"version": __version__, "settings": settings, "local_owner": LOCAL_OWNER}

    @pages.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    @pages.app_errorhandler(HTTPException)
    def explain(error: HTTPException) -> Response:
        if error.code is None or error.code < 400:
            return make_response(error.get_response())
        # An error's own headers (such as Allow) stay, but for what describes its body.
        given = [(n, v) for n, v in error.get_headers() if not n.startswith("Content-")]
        page = render_template("missing.html", problem=error, version=__version__)
        return protect(make_response(page, error.code, given))

    @pages.get("/")
    def home() -> str:
        # In production this address is open to everybody.
        found = deployments.recent_builds(private=not settings.production)
        return render_template("home.html", builds=[_row(build) for build in found])

    @pages.get("/builds/<build_id>")
    def build_page(build_id: str) -> str:
        build = _build_or_404(build_id)
        log = logs.read(build).decode(errors="replace")
        shown = _row(build) | {"prospects": _prospects(settings, build)}
        return render_template("build.html", build=shown, log=log)

    @pages.get("/builds/<build_id>/log")
    def build_log(build_id: str) -> Response:
        """The log as plain text; `?from=<bytes>` gives what came after, for followers."""
        build = _build_or_404(build_id)
        content = logs.read(build, request.args.get("from", 0, type=int))
        response = Response(content, mimetype="text/plain")
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Build-Status"] = build.status
        response.headers["X-Build-Active"] = "yes" if build.status in ACTIVE else "no"
        if build.status == BuildStatus.QUEUED:
            response.headers["X-Build-Queue"] = _prospects(settings, build)
        return response

    @pages.get("/favicon.ico")
    def no_icon() -> Response:
        """Browsers ask for it on behalf of previews without one; that is no error."""
        return Response(status=204, headers={"Cache-Control": "public, max-age=86400"})

    @pages.get("/healthz")
    def alive() -> Response:
        return Response("ok\n", mimetype="text/plain")

    return pages


def _build_or_404(build_id: str) -> Build:
    return deployments.find_build(build_id) or abort(404)


def _row(build: Build) -> dict[str, object]:
    """What the pages show of a build."""
    deployment = build.deployment
    ended = build.completed_at
    seconds = (ended - build.created_at) / 1000 if ended else None
    return {
        "id": build.id,
        "project": deployment.project.name,
        "sha": deployment.sha or "",
        "key": key_of(deployment.project.name, deployment.sha, deployment.id),
        "ref": deployment.ref,
        "environment": deployment.environment,
        "status": str(build.status),
        "active": build.status in ACTIVE,
        "framework": build.framework,
        "stages": json.loads(build.stages),
        "error_code": build.error_code,
        "error_message": build.error_message,
        "warnings": json.loads(build.warnings or "[]"),
        "seconds": seconds,
        "created": _clock(build.created_at),
    }


def _prospects(settings: Settings, build: Build) -> str:
    """What a waiting build may expect; empty: it does not wait."""
    if build.status != BuildStatus.QUEUED:
        return ""
    found = foresight.waiting(settings.PROJECT_CONCURRENCY).get(build.id)
    return found.text if found is not None else ""


def _clock(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
