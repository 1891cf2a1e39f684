"""The API as one WSGI application: authentication, errors, routes, documentation."""

from __future__ import annotations

from functools import cache

from flask import Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

from bot import __version__
from bot.api import deploy, documents, problems
from bot.api.authentication import authenticate
from bot.api.cross_origin import allow_pages
from bot.api.idempotency import remember_requests
from bot.api.limits import limit_requests
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.specification import specification
from bot.api.v1 import (
    access,
    administration,
    aliases,
    builds,
    collection,
    dead_letters,
    deployments,
    domains,
    members,
    projects,
    provenance,
    pull_requests,
    queue,
    repositories,
    retention,
    tokens,
    users,
)
from bot.errors import UserError
from bot.uploads.intake import Uploads

_OPEN = ("/docs", "/redoc", "/openapi.json")
_LARGEST_BODY = 4 << 20  # bytes; uploads have a limit of their own


def create_api(services: Services) -> OpenAPI:
    """All routes: `/api/v1/…`, `/deploy`, and the documentation."""
    api = OpenAPI(
        "bot.api",
        info=Info(title="DeployStack", version=__version__),
        security_schemes={"bearer": {"type": "http", "scheme": "bearer"}},
        validation_error_callback=problems.of_validation,
        validation_error_model=Problem,
        doc_ui=False,
        static_folder=None,
    )
    api.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    problems.handle_errors(api)
    uploads = Uploads(
        services.settings,
        services.database,
        services.store,
        services.bus,
        services.wake,
        services.build_now,
    )

    api.extensions["uploads"] = uploads
    allow_pages(api)

    @api.before_request
    def identify() -> None:
        if not request.path.startswith(_OPEN):
            try:
                g.caller = authenticate(request, services.settings, services.database)
            except UserError:
                api.extensions["count_stranger"]()
                raise

    @api.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    limit_requests(api, services.settings)
    remember_requests(api, services)
    api.register_blueprint(documents.blueprint(cache(lambda: specification(api))))
    api.register_api(deploy.blueprint(services, uploads))
    api.register_api(builds.blueprint(services))
    api.register_api(deployments.blueprint(services, uploads))
    api.register_api(projects.blueprint(services))
    api.register_api(domains.blueprint(services))
    api.register_api(provenance.blueprint(services))
    for resource in (
        access, aliases, members, pull_requests, repositories, tokens, users, administration,
        collection, retention, queue, dead_letters,
    ):  # fmt: skip
        api.register_api(resource.blueprint(services))
    if proxies := services.settings.TRUSTED_PROXIES:
        api.wsgi_app = ProxyFix(api.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]
    return api
