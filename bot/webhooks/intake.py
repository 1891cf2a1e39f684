"""From an event to its effect: one transaction for each delivery, and nothing slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bot import part_builds
from bot.errors import SystemFault, UserError
from bot.events import BuildCompleted, BuildFailed, Bus, CommitSkipped, DeploymentCreated
from bot.events import PullRequestClosed as PullRequestClosedEvent
from bot.models import deployments, inbox, projects, skipped
from bot.models.deployments import Requested
from bot.models.group_commit import GroupCommit
from bot.settings import Settings
from bot.webhooks import decisions, events
from bot.webhooks.events import (
    BranchDeleted,
    Comment,
    Event,
    InstallationChanged,
    PullRequest,
    Push,
    RepositoryChanged,
)
from bot.webhooks.forks import Forks, head_of
from bot.webhooks.outcome import Outcome
from bot.webhooks.repositories import change_installation, change_repository

STALE = "something newer is known of this branch"


class Intake:
    """Takes parsed deliveries in. One per process; safe to use from many threads."""

    def __init__(
        self,
        settings: Settings,
        commits: GroupCommit,
        bus: Bus,
        wake: Callable[[Sequence[str]], None],
    ) -> None:
        self._settings = settings
        self._commits = commits
        self._bus = bus
        self._wake = wake
        self._forks = Forks(bus, self._supersede)

    def take(self, guid: str, name: str, digest: str, event: Event) -> Outcome:
        """Record a delivery and all that follows from it; durable when this returns."""
        settings = self._settings
        decision = decisions.decide(event, settings.allows, settings.FORK_APPROVAL_LABEL)
        data = msgspec.json.encode(event).decode()

        def work() -> Outcome:
            if not inbox.remember(guid, name, digest, data):
                return _known(guid)
            outcome = self._carry_out(decision, event)
            if not outcome.accepted or outcome.reason:
                inbox.conclude(guid, "accepted" if outcome.accepted else "ignored", outcome.reason)
            return outcome

        return self._run(guid, work, lambda why: inbox.fail(guid, name, digest, data, why))

    def replay(self, guid: str) -> Outcome:
        """Carry a kept delivery out again. What is older than what is known changes nothing.

        Raises `UserError` where nothing of it is kept, and what carrying it out raises.
        """
        kept = inbox.find(guid)
        if kept is None or not kept.data:
            raise UserError("delivery-not-found", "There is no such delivery, or it is empty.")
        event = events.restore(kept.event, kept.data)
        settings = self._settings
        decision = decisions.decide(event, settings.allows, settings.FORK_APPROVAL_LABEL)

        def work() -> Outcome:
            outcome = self._carry_out(decision, event)
            inbox.conclude(guid, "accepted" if outcome.accepted else "ignored", outcome.reason)
            return outcome

        about = (guid, kept.event, kept.digest, kept.data)
        return self._run(guid, work, lambda why: inbox.fail(*about, why))

    def _run(
        self, guid: str, work: Callable[[], Outcome], failed: Callable[[str], None]
    ) -> Outcome:
        """Do `work` as one transaction; where it fails by a defect of ours, keep what failed."""

        def named() -> Outcome:
            outcome = work()
            for build_id in outcome.woken:
                deployments.came_by(build_id, guid)
            return outcome

        try:
            outcome = self._commits.run(named)
        except SystemFault:
            raise  # nothing can be recorded now; GitHub is told, and asked for it later
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:500]
            self._commits.run(lambda: failed(reason))
            raise
        if outcome.woken or outcome.telling:
            self._wake(outcome.woken)
        return outcome

    def _carry_out(self, decision: decisions.Decision, event: Event) -> Outcome:
        match decision, event:
            case decisions.Ignore(reason), _:
                return Outcome(False, reason)
            case decisions.Build(), Push():
                return self._build_branch(decision, event)
            case decisions.Skip(), Push():
                return self._skip(decision, event)
            case decisions.DeleteBranch(branch), (Push() | BranchDeleted()):
                return self._delete_branch(branch, event)
            case ((decisions.BuildPullRequest() | decisions.NotePullRequest()), PullRequest()):
                return self._pull_request(decision, event)
            case decisions.ApproveByLabel(), PullRequest():
                return self._forks.ask_by_label(_connect(event), event)
            case decisions.ApproveByComment(sha), Comment():
                return self._forks.ask_by_comment(sha, event)
            case decisions.ClosePullRequest(), PullRequest():
                return self._close(event)
            case decisions.ChangeInstallation(), InstallationChanged():
                return change_installation(event)
            case decisions.ChangeRepository(), RepositoryChanged():
                return change_repository(event)
        raise AssertionError(f"no way to carry out {decision} for {event}")

    def _build_branch(self, decision: decisions.Build, push: Push) -> Outcome:
        project_id = _connect(push)
        branch, sha = decision.branch, decision.sha
        moved = projects.move_ref(project_id, branch, sha, push.moved_at, decision.before)
        if not moved.moved:
            return Outcome(False, STALE)
        self._supersede(project_id, branch, moved.replaced)
        requested = deployments.request_build(project_id, sha, branch, "push", decision.environment)
        return self._requested(requested, sha)

    def _skip(self, decision: decisions.Skip, push: Push) -> Outcome:
        # The branch keeps the head it had: what is being built of it is still wanted,
        # since nothing takes its place.
        project_id = _connect(push)
        new = deployments.skip(project_id, decision.sha, decision.branch)
        if new:
            self._bus.publish(CommitSkipped(project_id, decision.sha))
        given_up = skipped.give_up(project_id, decision.sha, f"{decision.reason}.")
        for told in given_up:
            self._bus.publish(BuildFailed(*told))
        return Outcome(False, decision.reason, telling=bool(new or given_up))

    def _delete_branch(self, branch: str, event: Push | BranchDeleted) -> Outcome:
        project = projects.by_name(event.repository)
        if project is None:
            return Outcome(False, "the repository is not connected")
        before = event.before if isinstance(event, Push) else ""
        moved = projects.delete_ref(project.id, branch, event.moved_at, before)
        if not moved.moved:
            return Outcome(False, STALE)
        self._supersede(project.id, branch, moved.replaced, "its branch was deleted")
        return Outcome(True, f"the branch {branch} is gone")

    def _pull_request(
        self, decision: decisions.BuildPullRequest | decisions.NotePullRequest, event: PullRequest
    ) -> Outcome:
        project_id = _connect(event)
        moved = projects.move_pull_request(
            project_id,
            event.number,
            head_of(event),
            event.moved_at,
            reopened=event.action == "reopened",
        )
        if not moved.moved:
            return Outcome(False, "something newer is known of this pull request")
        # Without push events nobody else would say that the earlier head is given up.
        self._supersede(project_id, "", moved.replaced)
        if isinstance(decision, decisions.NotePullRequest):
            requested = self._forks.opened(project_id, event)
            if requested is not None:
                return self._requested(requested, event.head_sha)
            return Outcome(False, decision.reason, telling=True)
        requested = deployments.request_build(
            project_id, event.head_sha, event.head_ref, "pull_request", "preview"
        )
        return self._requested(requested, event.head_sha)

    def _close(self, event: PullRequest) -> Outcome:
        project = projects.by_name(event.repository)
        if project is None:
            return Outcome(False, "the repository is not connected")
        pull_request_id = projects.close_pull_request(
            project.id, event.number, head_of(event), event.moved_at
        )
        if pull_request_id is None:
            return Outcome(False, "the pull request is closed already, or open again")
        self._bus.publish(PullRequestClosedEvent(pull_request_id))
        return Outcome(True, f"pull request {event.number} is closed")

    def _supersede(self, project_id: int, branch: str, replaced: str, reason: str = "") -> None:
        if not replaced:
            return
        for told in deployments.supersede(project_id, branch, replaced, reason):
            self._bus.publish(BuildFailed(*told))

    def _requested(self, requested: Requested, sha: str) -> Outcome:
        told = (requested.deployment_id, requested.build_id)
        if requested.created:
            self._bus.publish(DeploymentCreated(*told))
            return Outcome(True, "", *told, sha, woken=(requested.build_id,))
        woken = part_builds.request_again(self._bus, requested)
        if requested.ready:
            projects.point_aliases(requested.deployment_id)
            self._bus.publish(BuildCompleted(*told))
            return Outcome(True, "this commit is live already", *told, sha, woken=woken)
        if not requested.build_id:
            return Outcome(False, "the commit message asks for no deployment")
        # A pull request opened while its commit builds: its comment is due now.
        self._bus.publish(DeploymentCreated(*told))
        return Outcome(True, "this commit has a build already", *told, sha, woken=woken)


def _connect(event: Push | PullRequest) -> int:
    return projects.connect_project(
        event.repository,
        production_branch=event.default_branch,
        private=event.private,
        installation_id=event.installation_id,
    )


def _known(guid: str) -> Outcome:
    earlier = inbox.find(guid)
    outcome = earlier.outcome if earlier is not None else "unknown"
    reason = f": {earlier.reason}" if earlier is not None and earlier.reason else ""
    return Outcome(False, f"this delivery is known already ({outcome}{reason})")
