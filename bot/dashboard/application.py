"""The dashboard: what people look at and act on when they are signed in.

It is an application of its own, on a port and a host name of its own. What is done is
`bot.control`'s affair; here it is asked for, by forms. There are no scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, abort, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from bot import __version__
from bot.control import Control
from bot.dashboard import operations
from bot.dashboard.actions import RETENTION_WORDS, Actions
from bot.dashboard.find import find_project
from bot.dashboard.session import Sessions
from bot.domains import records
from bot.errors import SystemFault, UserError
from bot.models import approvals, deployments, domains, overview, policies, traffic, variables
from bot.models.access import access_of
from bot.models.addresses import alias_path
from bot.models.ids import now
from bot.models.retention import why_kept
from bot.models.rights import Caller
from bot.models.status import ACTIVE
from bot.models.tokens import Scope
from bot.project_states import advice
from bot.retention import Retention, default_policy
from bot.settings import Settings

_LARGEST_FORM = 64 << 10  # bytes
_DAY = 86_400_000  # ms
_AT_ONCE = 24  # projects on a page


def create_dashboard(settings: Settings, control: Control) -> Flask:
    """The dashboard as a WSGI application; sign-in is by an API token."""
    application = Flask("bot.dashboard.application", static_url_path="/static")
    application.config["MAX_CONTENT_LENGTH"] = _LARGEST_FORM
    sessions = Sessions(settings, control.database)
    sessions.guard(application)
    application.register_blueprint(_pages(settings, sessions))
    application.register_blueprint(Actions(control).blueprint(sessions))
    application.register_blueprint(operations.blueprint(control))
    _explain_errors(application)
    application.jinja_env.filters["ago"] = _ago
    application.jinja_env.globals.update(
        settings=settings, version=__version__, preview_url=_urls(settings), active=ACTIVE
    )
    if proxies := settings.TRUSTED_PROXIES:
        application.wsgi_app = ProxyFix(application.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]
    return application


def _pages(settings: Settings, sessions: Sessions) -> Blueprint:
    pages = Blueprint("pages", __name__)

    @pages.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> Any:
        if g.caller is not None:
            return redirect("/", 303)
        if request.method == "GET":
            return render_template("dashboard/sign_in.html")
        try:
            return sessions.sign_in(request.form.get("token", ""))
        except UserError as error:
            return render_template("dashboard/sign_in.html", problem=error), 401

    @pages.get("/")
    def home() -> str:
        caller: Caller = g.caller
        caller.require(Scope.READ)
        containing = request.args.get("q", "").strip()
        found = overview.projects(
            caller.project_ids(),
            containing=containing,
            after=request.args.get("after", ""),
            limit=_AT_ONCE + 1,
        )
        waiting = [w for w in approvals.waiting() if caller.scope_in(w.project_id) is not None]
        # The whole store is nobody's affair who sees some of the projects alone.
        storage = Retention.last() if caller.project_ids() is None else None
        return render_template(
            "dashboard/home.html",
            projects=found[:_AT_ONCE],
            more=found[_AT_ONCE - 1].name if len(found) > _AT_ONCE else "",
            containing=containing,
            waiting=waiting,
            storage=storage,
        )

    @pages.get("/projects/<int:project_id>")
    def project(project_id: int) -> str:
        found = find_project(project_id)
        allowed = g.caller.scope_in(project_id)
        claimed = [
            (domain, records(domain, found.name, settings))
            for domain in domains.of_project(project_id)
        ]
        return render_template(
            "dashboard/project.html",
            project=found,
            row=overview.project(project_id),
            access=access_of(project_id),
            deployments=overview.deployments(project_id),
            branches=overview.branches(project_id),
            pull_requests=overview.pull_requests(project_id),
            waiting=approvals.waiting(project_id),
            domains=claimed,
            advice=advice(found.state, found.state_note),
            variables=variables.of_project(project_id),
            retention=asdict(policies.of_project(project_id, default_policy(settings))),
            own_retention=policies.own(project_id),
            retention_words=RETENTION_WORDS,
            may_deploy=allowed.includes(Scope.DEPLOY),
            may_administer=allowed.includes(Scope.ADMIN),
        )

    @pages.get("/projects/<int:project_id>/deployments/<deployment_id>")
    def deployment(project_id: int, deployment_id: str) -> str:
        found = find_project(project_id)
        row = overview.deployment(deployment_id)
        if row is None or not _belongs(row.id, project_id):
            abort(404)
        return render_template(
            "dashboard/deployment.html",
            project=found,
            row=row,
            current=overview.project(project_id),
            kept=why_kept(
                project_id,
                deployment_id,
                policies.of_project(project_id, default_policy(settings)),
                now(),
            ),
            traffic=traffic.totals(deployment_id, now() - 30 * _DAY),
            may_deploy=g.caller.scope_in(project_id).includes(Scope.DEPLOY),
        )

    return pages


def _belongs(deployment_id: str, project_id: int) -> bool:
    return deployments.project_of(deployment_id) == project_id


def _explain_errors(application: Flask) -> None:
    @application.errorhandler(UserError)
    def theirs(error: UserError) -> tuple[str, int]:
        status = 403 if error.code == "forbidden" else 409
        return render_template("dashboard/problem.html", problem=error), status

    @application.errorhandler(SystemFault)
    def ours(error: SystemFault) -> tuple[str, int]:
        return render_template("dashboard/problem.html", problem=error), 503

    @application.errorhandler(HTTPException)
    def plain(error: HTTPException) -> AnyResponse | tuple[str, int]:
        if error.code is None or error.code < 400:
            return error.get_response()
        said = UserError(str(error.code), error.name, "")
        return render_template("dashboard/problem.html", problem=said), error.code


def _urls(settings: Settings) -> Callable[[str], str]:
    """The address of a deployment's key, or of an alias (an address without digits of a SHA)."""

    def url(key: str, alias: bool = False) -> str:
        return settings.alias_url(key, alias_path(key)) if alias else settings.deployment_url(key)

    return url


def _ago(milliseconds: int | None) -> str:
    """How long ago a moment was, in one word for a table."""
    if milliseconds is None:
        return "never"
    seconds = max(0, (now() - milliseconds) // 1000)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 30 * 86400:
            return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"
