"""Turns what happened into outbox entries, inside the transaction in which it happened.

An entry holds what to say as it was then; when and how it is said is the sender's
affair. Without credentials nothing is recorded: the line goes to the log.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from bot import events
from bot.events import Bus
from bot.github import messages
from bot.github.messages import State
from bot.models import deployments, facts, outbox
from bot.models.facts import Facts
from bot.models.status import BuildStatus
from bot.settings import LOCAL_OWNER, Settings

logger = logging.getLogger(__name__)


class Reporter:
    """Subscribes to the bus; `enabled`: whether there is anybody to tell."""

    def __init__(self, settings: Settings, *, enabled: bool) -> None:
        self._settings = settings
        self._enabled = enabled

    def subscribe(self, bus: Bus) -> None:
        bus.subscribe(events.DeploymentCreated, lambda event: self._report(event.build_id))
        bus.subscribe(events.BuildStarted, lambda event: self._report(event.build_id))
        bus.subscribe(events.BuildCompleted, lambda event: self._report(event.build_id))
        bus.subscribe(events.BuildFailed, lambda event: self._report(event.build_id))
        bus.subscribe(events.PullRequestClosed, lambda event: self._closed(event.pull_request_id))

    def _report(self, build_id: str) -> None:
        known = facts.of_build(build_id)
        if known is None or not known.sha:
            return  # an upload: there is no commit to say it of
        state = state_of(known, self._settings)
        if not self._tells(state):
            logger.info("%s %s: %s", state.project, state.sha[:12], messages.description(state))
            return
        status = messages.commit_status(state) | {"sha": state.sha}
        key = f"status:{known.project_id}:{state.sha}"
        outbox.add(known.project_id, "status", key, status)
        self._deployment(known, state, messages.deployment_status(state))
        if self._settings.GITHUB_COMMENTS:
            text = messages.comment(state)
            for pull_request_id, number in facts.open_pull_requests(known.project_id, state.sha):
                self._comment(known.project_id, pull_request_id, number, text)

    def _closed(self, pull_request_id: int) -> None:
        """Its previews are no longer current; its comment says so."""
        pull_request = facts.pull_request(pull_request_id)
        project_id, number = pull_request.project_id, pull_request.number
        known = facts.of_commit(project_id, pull_request.head_sha)
        if known is None:
            return
        state = state_of(known, self._settings)
        if not self._tells(state):
            return
        if self._settings.GITHUB_COMMENTS:
            text = messages.comment(state, closed=True)
            self._comment(project_id, pull_request_id, number, text)
        inactive = {"state": "inactive", "description": f"Pull request {number} is closed"}
        for deployment in deployments.previews_of_branch(project_id, pull_request.head_ref):
            preview = replace(known, deployment_id=deployment.id, sha=deployment.sha or "")
            self._deployment(preview, state, inactive)

    def _tells(self, state: State) -> bool:
        return self._enabled and not state.project.startswith(f"{LOCAL_OWNER}/")

    def _deployment(self, known: Facts, state: State, status: dict[str, str]) -> None:
        payload = {
            "deployment_id": known.deployment_id,
            "sha": known.sha,
            "environment": messages.environment_name(state),
            "production": state.environment == "production",
            "status": status,
        }
        key = f"deployment:{known.deployment_id}"
        outbox.add(known.project_id, "deployment", key, payload)

    def _comment(self, project_id: int, pull_request_id: int, number: int, text: str) -> None:
        payload = {
            "pull_request_id": pull_request_id,
            "number": number,
            "marker": text.partition("\n")[0],
            "body": text,
        }
        outbox.add(project_id, "comment", f"comment:{pull_request_id}", payload)


def state_of(known: Facts, settings: Settings) -> State:
    """What outsiders need to know of a build."""
    ended = known.completed_at
    return State(
        project=known.project,
        sha=known.sha,
        environment=known.environment,
        status=BuildStatus(known.status),
        preview_url=settings.deployment_url(known.sha),
        log_url=settings.build_url(known.build_id),
        framework=known.framework,
        error=known.error,
        seconds=(ended - known.created_at) / 1000 if ended else None,
    )
