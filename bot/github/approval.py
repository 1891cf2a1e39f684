"""Decides on approvals of forks' commits, once GitHub has said what the actor may do.

What an event says of its sender (`author_association`) is not asked: GitHub calls people
contributors who never could write. It publishes what follows; it asks GitHub nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from bot import part_builds
from bot.events import ApprovalDecided, Bus, DeploymentCreated
from bot.models import approvals
from bot.models.approvals import ApprovalState
from bot.models.database import Database
from bot.models.tables import Approval

# The endpoint says `write` of maintainers, and `read` of who may triage.
# https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
_ENOUGH = frozenset({"admin", "maintain", "write"})


class Approver:
    """Grants and refuses. `requeue` is called with each build that a worker should take up."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        # Given by `bot.app` once the queues exist.
        self.requeue: Callable[[str, float], None] = lambda _build_id, _delay: None

    def asked(self, approval_id: int) -> Approval | None:
        """The approval, while it waits for a decision."""
        found = approvals.find(approval_id)
        return found if found is not None and found.state == ApprovalState.ASKED else None

    def decide(self, approval: Approval, permission: str) -> None:
        """`permission` is GitHub's word for the actor's; empty: it does not say."""
        may = permission in _ENOUGH
        held = f"has the permission `{permission}`" if permission else "has none that GitHub tells"
        reason = f"{approval.actor} {held}; it takes write access."
        woken: tuple[str, ...] = ()
        with self._database.write():
            requested = approvals.decide(approval.id, may=may, reason=reason)
            self._bus.publish(ApprovalDecided(approval.id))
            if requested is not None and requested.build_id:
                told = DeploymentCreated(requested.deployment_id, requested.build_id)
                self._bus.publish(told)
                woken = part_builds.request_again(self._bus, requested)
        if requested is not None and requested.created:
            self.requeue(requested.build_id, 0)
        for build_id in woken:
            self.requeue(build_id, 0)
