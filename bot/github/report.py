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
from bot.logs import Logs
from bot.models import approvals, deployments, facts, outbox, projects
from bot.models.approvals import ApprovalState
from bot.models.facts import Facts, Headed
from bot.models.status import BuildStatus
from bot.models.tables import PullRequest
from bot.project_name import key_of
from bot.settings import LOCAL_OWNER, Settings

logger = logging.getLogger(__name__)

# What a comment says of these is what its readers wait for. All else may wait a moment:
# most builds are through by then, and one edit says it all.
_AT_ONCE = frozenset(
    {
        BuildStatus.READY,
        BuildStatus.FAILED,
        BuildStatus.ERRORED,
        BuildStatus.TIMED_OUT,
        BuildStatus.CANCELLED,
        BuildStatus.IGNORED,
    }
)
_MOMENT = 3_000  # ms
_FAILED = frozenset({BuildStatus.FAILED, BuildStatus.TIMED_OUT})
_LOG_LINES = 20
_LOG_END = 4_000  # bytes


class Reporter:
    """Subscribes to the bus; `enabled`: whether there is anybody to tell."""

    def __init__(self, settings: Settings, enabled: bool) -> None:
        self._settings = settings
        self._enabled = enabled
        self._logs = Logs(settings)

    def subscribe(self, bus: Bus) -> None:
        bus.subscribe(events.DeploymentCreated, lambda event: self._report(event.build_id))
        bus.subscribe(events.BuildWaits, self._explain)
        bus.subscribe(events.BuildStarted, lambda event: self._report(event.build_id))
        bus.subscribe(events.BuildCompleted, lambda event: self._report(event.build_id))
        bus.subscribe(events.BuildFailed, lambda event: self._report(event.build_id))
        bus.subscribe(events.CommitSkipped, lambda event: self._skip(event.project_id, event.sha))
        bus.subscribe(events.PullRequestClosed, lambda event: self._close(event.pull_request_id))
        bus.subscribe(events.ApprovalNeeded, lambda event: self._wait(event.pull_request_id))
        bus.subscribe(events.ApprovalAsked, lambda event: self._ask(event.approval_id))
        bus.subscribe(events.ApprovalDecided, lambda event: self._decided(event.approval_id))

    def _report(self, build_id: str) -> None:
        known = facts.of_build(build_id)
        if known is None or not known.sha:
            return  # an upload: there is no commit to say it of
        state = state_of(known, self._settings)
        if not self._tells(state.project):
            logger.info("%s %s: %s", state.project, state.sha[:12], messages.description(state))
            return
        project_id = known.project_id
        status = {"sha": state.sha, "body": messages.commit_status(state)}
        outbox.add(project_id, "status", f"status:{project_id}:{state.sha}", status)
        # GitHub takes a deployment for pending until it is told more.
        if state.status is not BuildStatus.QUEUED:
            told = messages.deployment_status(state)
            if self._is_over(known, state):
                told = messages.inactive("The pull request is closed")
            self._tell_deployment(project_id, known.deployment_id, state.environment, told)
        if self._settings.GITHUB_COMMENTS:
            for pull_request in facts.pull_requests(known.repository_id, state.sha):
                self._comment(known.repository_id, pull_request, state.sha)

    def _explain(self, event: events.BuildWaits) -> None:
        """Its status alone says how long it will be, and what was not told yet gives way."""
        known = facts.of_build(event.build_id)
        if known is None or not known.sha or not self._tells(known.project):
            return
        state = replace(state_of(known, self._settings), waiting=event.text)
        if state.status is BuildStatus.QUEUED:
            key = f"status:{known.project_id}:{state.sha}"
            told = {"sha": state.sha, "body": messages.commit_status(state)}
            outbox.add(known.project_id, "status", key, told, replace=True)

    def _skip(self, project_id: int, sha: str) -> None:
        project = projects.name_of(project_id)
        if not self._tells(project):
            logger.info("%s %s: skipped, as its message asks", project, sha[:12])
            return
        body = messages.skipped_status(project, self._settings.PUBLIC_URL)
        told = {"sha": sha, "body": body}
        outbox.add(project_id, "status", f"status:{project_id}:{sha}", told)

    def _is_over(self, known: Facts, state: State) -> bool:
        """Whether it is a preview of closed pull requests alone: its end was told already."""
        heads = facts.pull_requests(known.repository_id, state.sha)
        return (
            state.environment != "production"
            and bool(heads)
            and not any(head.is_open for head in heads)
        )

    def _close(self, pull_request_id: int) -> None:
        """Its previews are no longer of interest; what is in production stays as it is."""
        pull_request = facts.pull_request(pull_request_id)
        project_id, number = pull_request.project_id, pull_request.number
        if not self._tells(pull_request.project.name):
            logger.info("%s: pull request %d is closed", pull_request.project.name, number)
            return
        known = facts.of_repository(project_id, pull_request.head_sha)
        if known and self._settings.GITHUB_COMMENTS:
            headed = Headed(pull_request.id, number, is_open=False)
            self._comment(project_id, headed, pull_request.head_sha)
        if not known and pull_request.fork and self._settings.GITHUB_COMMENTS:
            closed = messages.waiting_comment(self._waiting(pull_request), closed=True)
            self._say(pull_request, closed, is_open=False)
        ended = {one.deployment_id: (one.project_id, one.sha) for one in known}
        # A fork's branch may have the name of one of ours.
        if not pull_request.fork and not facts.is_proposed(project_id, pull_request.head_ref):
            for preview in deployments.previews_of_branch(project_id, pull_request.head_ref):
                ended[preview.id] = (preview.project_id, preview.sha or "")
        inactive = messages.inactive(f"Pull request {number} is closed")
        for deployment_id, (own_id, sha) in ended.items():
            if not any(other.is_open for other in facts.pull_requests(project_id, sha)):
                self._tell_deployment(own_id, deployment_id, "preview", inactive)

    def _wait(self, pull_request_id: int) -> None:
        """A fork's commit waits: say how it is approved, on the commit and in the comment."""
        pull_request = facts.pull_request(pull_request_id)
        wait = self._waiting(pull_request)
        if not self._tells(wait.project):
            number = pull_request.number
            logger.info("%s: pull request %d waits for approval", wait.project, number)
            return
        project_id = pull_request.project_id
        status = {"sha": wait.sha, "body": messages.waiting_status(wait)}
        outbox.add(project_id, "status", f"status:{project_id}:{wait.sha}", status)
        if self._settings.GITHUB_COMMENTS:
            self._say(pull_request, messages.waiting_comment(wait), is_open=True)

    def _ask(self, approval_id: int) -> None:
        """Have GitHub asked whether somebody may approve; without credentials nobody can."""
        approval = approvals.find(approval_id)
        if approval is None:
            return
        if not self._tells(approval.project.name):
            reason = "GitHub cannot be asked without a token or an App: approve on the dashboard."
            approvals.decide(approval_id, may=False, reason=reason)
            logger.info("%s: %s's approval: %s", approval.project.name, approval.actor, reason)
            return
        told = {"approval_id": approval_id}
        outbox.add(approval.project_id, "approval", f"approval:{approval_id}", told)

    def _decided(self, approval_id: int) -> None:
        """Answer whoever asked: by a reaction to their comment, and in our own one."""
        approval = approvals.find(approval_id)
        if approval is None or not self._tells(approval.project.name):
            return
        granted = approval.state == ApprovalState.GRANTED
        if approval.comment_id is not None:
            told = {"comment_id": approval.comment_id, "content": "+1" if granted else "-1"}
            key = f"reaction:{approval.comment_id}"
            outbox.add(approval.project_id, "reaction", key, told)
        pull_request = approvals.pull_request(approval.project_id, approval.number)
        if not granted and pull_request is not None and self._is_waiting(pull_request):
            self._wait(pull_request.id)

    def _is_waiting(self, pull_request: PullRequest) -> bool:
        deployed = facts.of_commit(pull_request.project_id, pull_request.head_sha)
        return bool(pull_request.open) and deployed is None

    def _waiting(self, pull_request: PullRequest) -> messages.Wait:
        project_id, sha = pull_request.project_id, pull_request.head_sha
        return messages.Wait(
            project=pull_request.project.name,
            sha=sha,
            url=self._settings.PUBLIC_URL,
            label=self._settings.FORK_APPROVAL_LABEL,
            refusal=approvals.refusal(project_id, pull_request.number, sha),
        )

    def _tells(self, project: str) -> bool:
        return self._enabled and not project.startswith(f"{LOCAL_OWNER}/")

    def _tell_deployment(
        self, project_id: int, deployment_id: str, environment: str, status: dict[str, object]
    ) -> None:
        """A commit that was a preview before it got into production has two of them at GitHub."""
        outbox.add(
            project_id,
            "deployment",
            f"deployment:{deployment_id}:{environment}",
            {"deployment_id": deployment_id, "environment": environment, "status": status},
            replace=True,
        )

    def _comment(self, repository_id: int, pull_request: Headed, sha: str) -> None:
        """The one comment, on all projects of the repository."""
        known = facts.of_repository(repository_id, sha)
        states = [
            replace(state_of(one, self._settings), log_end=self._log_end(one)) for one in known
        ]
        text = messages.comment(*states, closed=not pull_request.is_open)
        delay = 0 if all(state.status in _AT_ONCE for state in states) else _MOMENT
        _add_comment(repository_id, pull_request, messages.marker(states[0].project), text, delay)

    def _log_end(self, known: Facts) -> str:
        """The last lines of the log of a build that failed."""
        build = deployments.find_build(known.build_id) if known.status in _FAILED else None
        if build is None:
            return ""
        end = self._logs.read(build, self._logs.size(build) - _LOG_END)
        return "\n".join(end.decode(errors="replace").splitlines()[-_LOG_LINES:])

    def _say(self, pull_request: PullRequest, text: str, *, is_open: bool) -> None:
        headed = Headed(pull_request.id, pull_request.number, is_open)
        marker = messages.marker(pull_request.project.name)
        _add_comment(pull_request.project_id, headed, marker, text)


def _add_comment(
    project_id: int, pull_request: Headed, marker: str, text: str, delay: int = 0
) -> None:
    outbox.add(
        project_id,
        "comment",
        f"comment:{pull_request.id}",
        {
            "pull_request_id": pull_request.id,
            "number": pull_request.number,
            "open": pull_request.is_open,
            "marker": marker,
            "body": text,
        },
        delay=delay,
        replace=True,
    )


def state_of(known: Facts, settings: Settings) -> State:
    """What outsiders need to know of a build."""
    ended = known.completed_at
    return State(
        project=known.project,
        sha=known.sha,
        environment=known.environment,
        status=BuildStatus(known.status),
        preview_url=settings.deployment_url(key_of(known.project, known.sha, known.deployment_id)),
        log_url=settings.build_url(known.build_id),
        error=known.error,
        seconds=(ended - known.created_at) / 1000 if ended else None,
    )
