"""The API's documentation: Swagger UI at `/docs`, ReDoc at `/redoc`, from bundled files.

Both come with the packages they are named in; no other host is asked for anything.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, send_from_directory

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DeployStack API</title>
{content}
</html>
"""
_SWAGGER = _PAGE.format(
    content="""<link rel="stylesheet" href="/docs/files/css/swagger-ui.css">
<link rel="icon" href="data:,">
<div id="api"></div>
<script src="/docs/files/js/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>"""
)
_SWAGGER_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null
});
"""
_REDOC = _PAGE.format(
    content="""<link rel="icon" href="data:,">
<div id="api"></div>
<script src="/redoc/redoc.js"></script>
<script src="/redoc/start.js"></script>"""
)
_REDOC_START = """Redoc.init("/openapi.json", {
  disableSearch: false, hideLogo: true
}, document.getElementById("api"));
"""
# Both build their styles as they go, and draw icons from data; ReDoc searches in a worker.
# The sandbox gives the page an origin of its own: a preview on the same host, which may
# be hostile, cannot reach in and take a token that somebody typed.
_POLICY = (
    "sandbox allow-scripts allow-forms allow-popups allow-downloads; default-src 'none'; "
    "script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_KEPT = 86_400  # seconds
# ReDoc fetches its makers' mark from their host; it has the picture with it.
_ELSEWHERE = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
_HERE = b"/redoc/files/images/redoc.svg"


def blueprint(specification: Callable[[], dict[str, Any]]) -> Blueprint:
    pages = Blueprint("documents", __name__)

    @pages.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    @pages.get("/openapi.json")
    def openapi() -> Response:
        response = jsonify(specification())
        response.headers["Cache-Control"] = "no-cache"
        return response

    @pages.get("/redoc/redoc.js")
    def redoc_script() -> Response:
        script = (_files_of("redoc") / "js/redoc.standalone.js").read_bytes()
        response = Response(script.replace(_ELSEWHERE, _HERE), mimetype="text/javascript")
        response.cache_control.max_age = _KEPT
        return response

    for name, page, start in (("docs", _SWAGGER, _SWAGGER_START), ("redoc", _REDOC, _REDOC_START)):
        _add(pages, name, page, start)
    return pages


def _add(pages: Blueprint, name: str, page: str, start: str) -> None:
    package = {"docs": "swagger", "redoc": "redoc"}[name]
    folder = _files_of(package)

    def show() -> Response:
        return Response(page, mimetype="text/html")

    def start_script() -> Response:
        return Response(start, mimetype="text/javascript")

    def files(path: str) -> Response:
        return send_from_directory(folder, path, max_age=_KEPT)

    pages.add_url_rule(f"/{name}", f"{name}", show)
    pages.add_url_rule(f"/{name}/start.js", f"{name}-start", start_script)
    pages.add_url_rule(f"/{name}/files/<path:path>", f"{name}-files", files)


def _files_of(package: str) -> Path:
    """Where a documentation page's files were installed to."""
    spec = find_spec(f"flask_openapi3_{package}")
    assert spec is not None and spec.origin is not None  # noqa: S101, PT018 (requirements.txt)
    return Path(spec.origin).parent / "templates" / package
