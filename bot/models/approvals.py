"""Approval of commits out of forks: asked for, decided on, and remembered by exact SHA.

A pull request from a fork brings code of somebody who may not write to the repository.
It waits until somebody who may has approved that very commit; what is pushed later waits
again. Who may approve is not decided here: whoever calls `approve` has checked it, and
`decide` is told what the code host says. Callers hold a transaction around everything
here that writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.errors import UserError
from bot.models import deployments, sql
from bot.models.deployments import Requested
from bot.models.ids import now
from bot.models.tables import Approval, PullRequest


class Source(StrEnum):
    """By which way an approval was asked for."""

    LABEL = "label"
    COMMENT = "comment"
    API = "api"


class ApprovalState(StrEnum):
    ASKED = "asked"  # the code host must say whether the actor may
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pull request whose newest commit nobody has approved yet. Times in ms."""

    project_id: int
    project: str
    number: int
    sha: str
    branch: str
    moved_at: int


def approve(
    project_id: int, number: int, sha: str, *, actor: str, source: Source = Source.API
) -> Requested:
    """Approve the commit `sha`, the head of the fork's pull request, and request its build.

    For the dashboard and the API, which have made sure that `actor` may deploy. In the
    same transaction the caller publishes `DeploymentCreated(requested.deployment_id,
    requested.build_id)` on the bus (also where `created` is false and there is a build:
    its state is told again), and after it wakes a worker for `requested.build_id` where
    `requested.created`. Approving twice changes nothing.

    Raises `UserError`: `pull-request-not-found`; `conflict` where it is closed, comes from
    no fork, or has another head than `sha` by now.
    """
    _check(_pull_request(project_id, number), sha)
    time = now()
    Approval.create(
        project=project_id,
        number=number,
        sha=sha,
        source=source,
        actor=actor,
        state=ApprovalState.GRANTED,
        created_at=time,
        decided_at=time,
    )
    return request(project_id, number, sha)


def ask(
    project_id: int,
    number: int,
    sha: str,
    *,
    actor: str,
    source: Source,
    comment_id: int | None = None,
) -> int:
    """Record that `actor` wants a commit built; answers the approval's id, for `decide`."""
    created: Approval = Approval.create(
        project=project_id,
        number=number,
        sha=sha,
        source=source,
        actor=actor,
        comment_id=comment_id,
        state=ApprovalState.ASKED,
        created_at=now(),
    )
    return int(created.id)


def decide(approval_id: int, *, may: bool, reason: str) -> Requested | None:
    """Grant or refuse what was asked for; answers the build that this requested, if any.

    `may` is the code host's word on the actor, and `reason` what is said where it is no.
    Refused too where the pull request was closed or got another head meanwhile. What is
    decided already stays as it is.
    """
    approval = find(approval_id)
    if approval is None or approval.state != ApprovalState.ASKED:
        return None
    if may:
        try:
            _check(_pull_request(approval.project_id, approval.number), approval.sha)
        except UserError as error:
            may, reason = False, error.message
    state = ApprovalState.GRANTED if may else ApprovalState.REFUSED
    Approval.update(state=state, reason="" if may else reason, decided_at=now()).where(
        Approval.id == approval_id
    ).execute()
    return request(approval.project_id, approval.number, approval.sha) if may else None


def request(project_id: int, number: int, sha: str) -> Requested:
    """Request the build of a commit that was approved."""
    # Never the fork's own name for its branch: ours may have a branch of that name.
    ref = f"pull/{number}/head"
    return deployments.request_build(project_id, sha, ref, "pull_request", "preview", trusted=False)


def is_granted(project_id: int, sha: str) -> bool:
    """Whether this very commit was approved."""
    granted = (Approval.project == project_id) & (Approval.sha == sha)
    return bool(Approval.select().where(granted, Approval.state == ApprovalState.GRANTED).exists())


def find(approval_id: int) -> Approval | None:
    found: Approval | None = Approval.get_or_none(Approval.id == approval_id)
    return found


def refusal(project_id: int, number: int, sha: str) -> str:
    """Why the newest wish to build this commit was refused; empty: none was."""
    newest: Approval | None = (
        Approval.select()
        .where(Approval.project == project_id, Approval.number == number, Approval.sha == sha)
        .order_by(Approval.id.desc())
        .first()
    )
    return newest.reason if newest is not None else ""


def pull_request(project_id: int, number: int) -> PullRequest | None:
    """A pull request that was heard of."""
    found: PullRequest | None = PullRequest.get_or_none(
        PullRequest.project == project_id, PullRequest.number == number
    )
    return found


_WAITING = """
SELECT p.id, p.name, r.number, r.head_sha, r.head_ref, r.moved_at
FROM pull_requests r JOIN projects p ON p.id = r.project_id
WHERE r.fork AND r.open AND (r.project_id = ? OR ? = 0)
    AND NOT EXISTS (
        SELECT 1 FROM deployments d WHERE d.project_id = r.project_id AND d.sha = r.head_sha)
ORDER BY r.moved_at DESC
"""


def waiting(project_id: int = 0) -> list[Waiting]:
    """Open pull requests that wait for approval, of one project or of all (0), newest first."""
    return [Waiting(*row) for row in sql.rows(_WAITING, project_id, project_id)]


def _pull_request(project_id: int, number: int) -> PullRequest:
    found = pull_request(project_id, number)
    if found is None:
        raise UserError(
            "pull-request-not-found",
            f"Nothing is known of pull request {number}.",
            "It is heard of when it is opened, pushed to, or gets the label.",
        )
    return found


def _check(found: PullRequest, sha: str) -> None:
    if not found.fork:
        raise UserError("conflict", f"Pull request {found.number} is from no fork.")
    if not found.open:
        raise UserError("conflict", f"Pull request {found.number} is closed.")
    if found.head_sha != sha:
        raise UserError(
            "conflict",
            f"The newest commit of pull request {found.number} is {found.head_sha[:12]}, "
            f"not {sha[:12]}.",
            "Look at the newest one, and approve that.",
        )
