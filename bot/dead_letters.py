"""Has what was given up tried again, by whoever looks after the bot, and by itself."""

from __future__ import annotations

import logging

from bot.control import Control
from bot.errors import SystemFault, UserError
from bot.models import audit, deployments, inbox, outbox
from bot.models.dead_letters import MESSAGE, Kind, kind_of
from bot.models.group_commit import GroupCommit
from bot.models.ids import now
from bot.webhooks.intake import Intake

logger = logging.getLogger(__name__)


class DeadLetters:
    """Replays. Each attempt leaves an entry in the audit log."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._intake = Intake(
            control.settings, GroupCommit(control.database), control.bus, control.wake
        )

    def replay(self, actor: str, letter_id: str) -> str:
        """Try a build, a message, or any kept delivery again; answers what came of it.

        Raises `UserError` where there is no such thing or it cannot be tried again, and
        `SystemFault` where it failed again.
        """
        match kind_of(letter_id):
            case Kind.BUILD:
                outcome = self._build(actor, letter_id)
            case Kind.MESSAGE:
                outcome = self._message(letter_id)
            case Kind.DELIVERY:
                outcome = self._delivery(letter_id)
        if kind_of(letter_id) is not Kind.BUILD:  # `retry` has noted that
            with self._control.database.write():
                audit.note(actor, "dead-letter.replay", letter_id, outcome=outcome)
        return outcome

    def _build(self, actor: str, build_id: str) -> str:
        build = deployments.find_build(build_id)
        if build is None:
            raise UserError("dead-letter-not-found", "There is no such build.")
        return f"queued again as {self._control.retry(actor, build)}"

    def _message(self, letter_id: str) -> str:
        number = letter_id.removeprefix(MESSAGE)
        known = number.isascii() and number.isdecimal() and len(number) < 18
        with self._control.database.write():
            revived = known and outbox.revive(int(number))
        if not revived:
            raise UserError(
                "dead-letter-not-found",
                "No such message was given up, or something newer was told since.",
            )
        self._control.tell()
        return "to be told again"

    def _delivery(self, guid: str) -> str:
        try:
            outcome = self._intake.replay(guid)
        except (UserError, SystemFault):
            raise
        except Exception as error:
            logger.exception("delivery %s failed again", guid)
            raise SystemFault("replay-failed", f"It failed again: {error}") from error
        said = "accepted" if outcome.accepted else "ignored"
        return f"{said}: {outcome.reason}" if outcome.reason else said


def retry_deliveries(intake: Intake) -> None:
    """Carry out again what failed by our fault, some time after it did."""
    for guid in inbox.due_again(now()):
        try:
            intake.replay(guid)
        except Exception:
            logger.exception("delivery %s failed again", guid)
