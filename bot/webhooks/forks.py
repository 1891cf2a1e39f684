"""Pull requests from forks: what waits for approval, and who asks for it.

Whether somebody may approve is GitHub's to say, later and off the request's path; here
it is recorded what was asked for, and of which commit exactly.
"""

from __future__ import annotations

from collections.abc import Callable

from bot.events import ApprovalAsked, ApprovalNeeded, Bus
from bot.models import approvals, deployments, projects
from bot.models.approvals import Source
from bot.models.deployments import Requested
from bot.webhooks.events import Comment, PullRequest
from bot.webhooks.outcome import Outcome


class Forks:
    """Carries out what was decided; always within a delivery's transaction.

    `supersede` gives up the builds of a commit that a project's (branch's) head has left.
    """

    def __init__(self, bus: Bus, supersede: Callable[[int, str, str], None]) -> None:
        self._bus = bus
        self._supersede = supersede

    def opened(self, project_id: int, event: PullRequest) -> Requested | None:
        """A pull request has a (new) head: its build, where it may have one; else it waits."""
        if approvals.is_granted(project_id, event.head_sha):
            return approvals.request(project_id, event.number, event.head_sha)
        known = deployments.of_commit(project_id, event.head_sha)
        if known is not None:
            return known
        found = approvals.pull_request(project_id, event.number)
        if found is not None:
            self._bus.publish(ApprovalNeeded(found.id))
        return None

    def ask_by_label(self, project_id: int, event: PullRequest) -> Outcome:
        """The label was put on: it approves the head that the event itself names.

        The label stays on when the head moves; only putting it on again approves again.
        """
        known = approvals.pull_request(project_id, event.number)
        if known is None or known.head_sha != event.head_sha:
            moved = projects.move_pull_request(
                project_id, event.number, head_of(event), event.moved_at
            )
            if not moved.moved:
                return Outcome(False, "something newer is known of this pull request")
            self._supersede(project_id, "", moved.replaced)
        elif not known.open:
            return Outcome(False, "the pull request is closed")
        return self._ask(
            approvals.ask(
                project_id, event.number, event.head_sha, actor=event.actor, source=Source.LABEL
            )
        )

    def ask_by_comment(self, named: str, event: Comment) -> Outcome:
        """`/deploy`: it approves the head that was known before the comment was written.

        Without a whole SHA, what was pushed while somebody wrote is not what they looked at.
        """
        project = projects.by_name(event.repository)
        known = approvals.pull_request(project.id, event.number) if project is not None else None
        if project is None or known is None:
            return Outcome(False, "nothing is known of this pull request; its next push tells")
        if not known.fork:
            return Outcome(False, "a pull request from no fork needs no approval")
        if not known.open:
            return Outcome(False, "the pull request is closed")
        if not known.head_sha.startswith(named):
            return Outcome(False, f"{named} is not the newest commit of the pull request")
        if known.head_sha != named and known.moved_at >= event.written_at:
            return Outcome(
                False, "a commit came with or after the comment; /deploy with its whole SHA"
            )
        return self._ask(
            approvals.ask(
                project.id,
                event.number,
                known.head_sha,
                actor=event.author,
                source=Source.COMMENT,
                comment_id=event.comment_id,
            )
        )

    def _ask(self, approval_id: int) -> Outcome:
        self._bus.publish(ApprovalAsked(approval_id))
        return Outcome(True, "GitHub is asked whether the approval counts", telling=True)


def head_of(event: PullRequest) -> projects.Head:
    return projects.Head(event.head_sha, event.head_ref, event.fork)
