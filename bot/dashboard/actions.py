"""The dashboard's forms: each is a POST that does one thing and leads back to its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, g, redirect, request
from werkzeug.wrappers import Response

from bot.control import Control
from bot.dashboard.find import find_project
from bot.errors import UserError
from bot.models import deployments
from bot.models.access import AccessKind
from bot.models.tables import Build
from bot.models.tokens import Scope
from bot.models.variables import Context

if TYPE_CHECKING:
    from bot.dashboard.session import Sessions

# How long what is kept, as the form asks for it.
RETENTION_WORDS = (
    ("closed_days", "Days after its branch or pull request has ended"),
    ("idle_days", "Days without a visit, where no name leads to it"),
    ("production_kept", "Newest deployments of production"),
    ("failed_days", "Days for builds that led to nothing"),
)
_LONGEST = 36_500  # days
_SWITCHES = ("build_on_visit", "toolbar")


class Actions:
    """What forms do, by way of `Control`."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def blueprint(self, sessions: Sessions) -> Blueprint:
        actions = Blueprint("actions", __name__)
        actions.add_url_rule("/sign-out", "sign_out", sessions.sign_out, methods=["POST"])
        for name, act in (
            ("promote", self._promote),
            ("roll-back", self._roll_back),
            ("cancel", self._cancel),
            ("retry", self._retry),
            ("approve", self._approve),
            ("protection", self._protection),
            ("switch", self._switch),
            ("retention", self._retention),
            ("variables", self._set_variable),
            ("variables/remove", self._remove_variable),
            ("domains", self._add_domain),
            ("domains/verify", self._verify_domain),
            ("domains/remove", self._remove_domain),
        ):
            rule = f"/projects/<int:project_id>/{name}"
            actions.add_url_rule(rule, name.replace("/", "-"), act, methods=["POST"])
        return actions

    def _promote(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.DEPLOY)
        self._control.promote(g.caller.name, project, request.form.get("deployment", ""))
        return _back(project_id)

    def _roll_back(self, project_id: int) -> Response:
        self._control.roll_back(g.caller.name, find_project(project_id, Scope.DEPLOY))
        return _back(project_id)

    def _cancel(self, project_id: int) -> Response:
        find_project(project_id, Scope.DEPLOY)
        self._control.cancel(g.caller.name, _build(project_id))
        return _back(project_id)

    def _retry(self, project_id: int) -> Response:
        find_project(project_id, Scope.DEPLOY)
        self._control.retry(g.caller.name, _build(project_id))
        return _back(project_id)

    def _approve(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.DEPLOY)
        number = request.form.get("number", "")
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            abort(400)
        self._control.approve(g.caller.name, project, int(number), request.form.get("sha", ""))
        return _back(project_id)

    def _protection(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        kind = request.form.get("kind", "")
        if not kind:
            self._control.open_to_all(g.caller.name, project)
        elif kind in set(AccessKind):
            password = request.form.get("password", "")
            self._control.protect(g.caller.name, project, AccessKind(kind), password)
        else:
            abort(400)
        return _back(project_id)

    def _switch(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        name = request.form.get("name", "")
        if name not in _SWITCHES:
            abort(400)
        self._control.switch(g.caller.name, project, name, request.form.get("on") == "yes")
        return _back(project_id)

    def _retention(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        values = {name: _number(name) for name, _ in RETENTION_WORDS}
        self._control.set_retention(g.caller.name, project, values)
        return _back(project_id)

    def _set_variable(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        # Browsers send the lines of a text with carriage returns, which nobody has typed.
        value = request.form.get("value", "").replace("\r\n", "\n")
        self._control.set_variable(
            g.caller.name,
            project,
            request.form.get("name", "").strip(),
            value,
            context=_context(),
            branch=request.form.get("branch", "").strip(),
            secret={"yes": True, "no": False}.get(request.form.get("secret", "")),
        )
        return _back(project_id)

    def _remove_variable(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        name, branch = request.form.get("name", ""), request.form.get("branch", "")
        self._control.remove_variable(g.caller.name, project, name, _context(), branch)
        return _back(project_id)

    def _add_domain(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        self._control.add_domain(g.caller.name, project, request.form.get("domain", ""))
        return _back(project_id)

    def _verify_domain(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        self._control.verify_domain(g.caller.name, project, request.form.get("domain", ""))
        return _back(project_id)

    def _remove_domain(self, project_id: int) -> Response:
        project = find_project(project_id, Scope.ADMIN)
        self._control.remove_domain(g.caller.name, project, request.form.get("domain", ""))
        return _back(project_id)


def _context() -> Context:
    given = request.form.get("context", "")
    if given not in set(Context):
        abort(400)
    return Context(given)


def _number(name: str) -> int | None:
    """A field's whole number; `None`: it is empty."""
    given = request.form.get(name, "").strip()
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 10 and int(given) <= _LONGEST):
        raise UserError("invalid-request", f"{given} is no number from 0 to {_LONGEST}.")
    return int(given)


def _build(project_id: int) -> Build:
    """The build that the form names. Raises `UserError`: `build-not-found`."""
    found = deployments.find_build(request.form.get("build", ""))
    if found is None or found.deployment.project_id != project_id:
        raise UserError("build-not-found", "The project has no such build.")
    return found


def _back(project_id: int) -> Response:
    return redirect(f"/projects/{project_id}", 303)
