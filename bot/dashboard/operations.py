"""The dashboard's pages about the bot as a whole: the queue, and what was given up."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.wrappers import Response

from bot.control import Control
from bot.dead_letters import DeadLetters
from bot.models import dead_letters, deployments, foresight, measures, workers
from bot.models.ids import now
from bot.models.rights import Caller
from bot.models.tokens import Scope

_DAY = 86_400_000  # ms
_SHOWN = 100


def blueprint(control: Control) -> Blueprint:
    pages = Blueprint("operations", __name__)
    letters = DeadLetters(control)

    @pages.get("/queue")
    def queue() -> str:
        caller: Caller = g.caller
        caller.require(Scope.READ)
        order = foresight.waiting(control.settings.PROJECT_CONCURRENCY)
        found = deployments.builds_of_ids(list(order), caller.project_ids(), _SHOWN)
        return render_template(
            "dashboard/queue.html",
            builds=[(build, order[build.id]) for build in found],
            waiting=len(order),
            running=measures.running_builds(),
            workers=workers.present(),
            waited=measures.waited(now() - _DAY),
        )

    @pages.get("/dead-letters")
    def list_letters() -> str:
        g.caller.require_everywhere(Scope.ADMIN)
        return render_template(
            "dashboard/dead_letters.html",
            letters=dead_letters.listed(_SHOWN),
            outcome=request.args.get("outcome", ""),
        )

    @pages.post("/dead-letters/replay")
    def replay() -> Response:
        caller: Caller = g.caller
        caller.require_everywhere(Scope.ADMIN)
        letters.replay(caller.name, request.form.get("id", ""))
        return redirect("/dead-letters", 303)

    return pages
