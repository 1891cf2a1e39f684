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
from bot.models import deployments, outbox, projects
from bot.models.ids import now
from bot.models.status import BuildStatus
from bot.models.tables import Build, PullRequest
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
        build = deployments.find_build(build_id)
        if build is None or not build.deployment.sha:
            return  # an upload: there is no commit to say it of
        state = state_of(build, self._settings)
        if not self._enabled or state.project.startswith(f"{LOCAL_OWNER}/"):
            logger.info("%s %s: %s", state.project, state.sha[:12], messages.description(state))
            return
        deployment = build.deployment
        project_id = deployment.project_id
        status = messages.commit_status(state) | {"sha": state.sha}
        outbox.add(project_id, "status", f"status:{project_id}:{state.sha}", status)
        outbox.add(
            project_id,
            "deployment",
            f"deployment:{deployment.id}",
            {
                "deployment_id": deployment.id,
                "sha": state.sha,
                "environment": messages.environment_name(state),
                "production": state.environment == "production",
                "status": messages.deployment_status(state),
            },
        )
        if self._settings.GITHUB_COMMENTS:
            for pull_request in projects.pull_requests_of(project_id, state.sha):
                self._comment(project_id, pull_request, messages.comment(state))

    def _closed(self, pull_request_id: int) -> None:
        pull_request = PullRequest.get_by_id(pull_request_id)
        build = deployments.newest_build_of_commit(pull_request.project_id, pull_request.head_sha)
        if build is None or not self._enabled:
            return
        state = state_of(build, self._settings)
        if state.project.startswith(f"{LOCAL_OWNER}/"):
            return
        if self._settings.GITHUB_COMMENTS:
            text = messages.comment(state, closed=True)
            self._comment(pull_request.project_id, pull_request, text)
        for deployment in deployments.previews_of_branch(
            pull_request.project_id, pull_request.head_ref
        ):
            preview = replace(state, sha=deployment.sha or "", environment=deployment.environment)
            outbox.add(
                pull_request.project_id,
                "deployment",
                f"deployment:{deployment.id}",
                {
                    "deployment_id": deployment.id,
                    "sha": deployment.sha,
                    "environment": messages.environment_name(preview),
                    "production": False,
                    "status": {
                        "state": "inactive",
                        "description": f"Pull request {pull_request.number} is closed",
                    },
                },
            )

    def _comment(self, project_id: int, pull_request: PullRequest, text: str) -> None:
        payload = {
            "pull_request_id": pull_request.id,
            "number": pull_request.number,
            "marker": text.partition("\n")[0],
            "body": text,
        }
        outbox.add(project_id, "comment", f"comment:{pull_request.id}", payload)


def state_of(build: Build, settings: Settings) -> State:
    """What outsiders need to know of a build."""
    deployment = build.deployment
    status = BuildStatus(build.status)
    ended = build.completed_at
    return State(
        project=deployment.project.name,
        sha=deployment.sha or "",
        environment=deployment.environment,
        status=status,
        preview_url=settings.deployment_url(deployment.sha or deployment.id),
        log_url=settings.build_url(build.id),
        framework=build.framework,
        error=build.error_message,
        seconds=((ended or now()) - build.created_at) / 1000 if ended else None,
    )
