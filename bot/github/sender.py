"""Tells GitHub what the outbox holds. No transaction is open while GitHub is asked.

A failed build never comes from here: whatever GitHub answers, an entry ends sent,
dropped (a newer one says more), or dead with the reason.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bot.errors import SystemFault, UserError
from bot.github import limits, messages, refusals
from bot.github.approval import Approver
from bot.github.breaker import Breaker, Outage
from bot.github.client import Client
from bot.models import outbox, projects
from bot.models.database import Database
from bot.models.status import OutboxState
from bot.models.tables import Deployment, OutboxEntry, Project, PullRequest
from bot.patience import insist
from bot.project_name import repository_of
from bot.project_states import ProjectState
from bot.settings import Settings

if TYPE_CHECKING:
    from github import GithubException

    from bot.github.remote import Remote

logger = logging.getLogger(__name__)

# An entry is given up after this long; what it said is old news by then.
_BAD_CREDENTIALS = 401
_MENDING = 300.0  # seconds
_PATIENCE = 6 * limits.HOUR
# Where a status has waited this long, the newer one says all.
_OLD_NEWS = 5_000  # ms
# That GitHub takes a status shows that they are over.
_PASSING_STATES = (ProjectState.FORBIDDEN, ProjectState.ARCHIVED, ProjectState.SUSPENDED)
_MOST_AT_ONCE = 200


class Lost(Exception):
    """The entry was given to another sender: this one was too slow."""


class Sender:
    """Sends what is due. For one thread; senders of several processes may share an outbox."""

    def __init__(
        self,
        database: Database,
        client: Client,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        approver: Approver | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._database = database
        self._client = client
        self._settings = settings
        self._clock = clock
        self._approver = approver
        self._breaker = breaker or Breaker()
        # When accounts that met a rate limit may ask again, in ms.
        self._silent: dict[str, int] = {}

    def deliver_due(self, limit: int = _MOST_AT_ONCE) -> int | None:
        """Deal with up to `limit` due entries; answers when the next is due, in ms, if any."""
        for _ in range(limit):
            with self._database.write():
                entry = outbox.claim_due(self._now())
            if entry is None:
                break
            self._deliver(entry)
        return outbox.next_due()

    def _deliver(self, entry: OutboxEntry) -> None:
        if self._is_superfluous(entry):
            self._end(entry, OutboxState.DROPPED)
            return
        project = Project.get_by_id(entry.project_id)
        account = self._client.account(repository_of(project.name))
        if (wait := self._wait(entry, account)) > 0:
            self._write(lambda: outbox.defer(entry, self._now() + wait))
            return
        try:
            self._breaker.call(lambda: self._send(entry, project))
        except Outage:
            pause = int(self._breaker.pause * 1000)
            self._write(lambda: outbox.defer(entry, self._now() + pause))
        except Lost:
            logger.warning("%s of %s was given to another sender", entry.kind, project.name)
        except Exception as error:
            self._refused(entry, project, account, error)
        else:
            self._end(entry, OutboxState.SENT)
            self._note_success(entry, project)

    def _is_superfluous(self, entry: OutboxEntry) -> bool:
        """Comments and deployments show the present; a commit's states are told one by one,
        as long as GitHub takes them.
        """
        following = outbox.following(entry)
        if following is None:
            return False
        if entry.kind != "status" or entry.attempts > 1:
            return True
        same = json.loads(following)["body"]["state"] == json.loads(entry.payload)["body"]["state"]
        return bool(same) or self._now() - entry.created_at > _OLD_NEWS

    def _wait(self, entry: OutboxEntry, account: str) -> int:
        """Milliseconds until GitHub's limits let us send this."""
        now = self._now()
        written = outbox.written_since(now - limits.HOUR, account, entry)
        return max(limits.wait(entry.kind, written, now), self._silent.get(account, 0) - now)

    def _send(self, entry: OutboxEntry, project: Project) -> None:
        from bot.github.remote import Moved, Remote

        remote = Remote(self._client.repository(repository_of(project.name)))
        try:
            self._say(entry, project, remote)
        except Moved:
            name = remote.current_name()
            logger.info("%s is called %s now", project.name, name)
            with self._database.write():
                if projects.by_name(name) is None:
                    projects.rename(repository_of(project.name), name)
            remote = Remote(self._client.repository(name))
            self._say(entry, project, remote)
        if (exhausted_until := remote.exhausted_until()) > self._clock():
            account = self._client.account(repository_of(project.name))
            self._silent[account] = int(exhausted_until * 1000)

    def _say(self, entry: OutboxEntry, project: Project, remote: Remote) -> None:
        payload = json.loads(entry.payload)
        match entry.kind:
            case "status":
                remote.set_status(payload["sha"], payload["body"])
            case "comment":
                self._say_comment(entry, payload, remote)
            case "deployment":
                self._say_deployment(entry, project, payload, remote)
            case "reaction":
                remote.react(payload["comment_id"], payload["content"])
            case "approval":
                self._ask_permission(payload["approval_id"], remote)

    def _ask_permission(self, approval_id: int, remote: Remote) -> None:
        approver = self._approver
        approval = approver.asked(approval_id) if approver is not None else None
        if approver is not None and approval is not None:
            approver.decide(approval, remote.permission_of(approval.actor))

    def _say_comment(self, entry: OutboxEntry, payload: dict[str, Any], remote: Remote) -> None:
        """Edit the one comment; create it where there is none."""
        pull_request = PullRequest.get_by_id(payload["pull_request_id"])
        number, body = payload["number"], payload["body"]
        known = pull_request.comment_id
        if known is not None and remote.edit_comment(known, body):
            return
        # Its id was lost, or the answer to its creation; or somebody deleted it.
        found = remote.find_comment(number, payload["marker"], self._client.login())
        self._keep(entry)
        if found is not None and remote.edit_comment(found, body):
            self._remember_comment(pull_request, found)
        elif payload["open"]:
            self._remember_comment(pull_request, remote.create_comment(number, body))

    def _remember_comment(self, pull_request: PullRequest, comment_id: int) -> None:
        known = PullRequest.update(comment_id=comment_id).where(PullRequest.id == pull_request.id)
        self._write(known.execute)

    def _say_deployment(
        self, entry: OutboxEntry, project: Project, payload: dict[str, Any], remote: Remote
    ) -> None:
        row = Deployment.get_by_id(payload["deployment_id"])
        environment, status = payload["environment"], payload["status"]
        # What we remember is of the present environment; a preview that got into
        # production since has to be looked for.
        present = environment == row.environment
        body = messages.deployment(
            row.sha or "",
            messages.environment_name(project.name, environment),
            production=environment == "production",
            own_id=row.id,
        )
        remote_id = row.remote_id if present else None
        if remote_id is None and (not present or outbox.tried_before(entry)):
            remote_id = remote.find_deployment(body["ref"], body["environment"], body["payload"])
        if remote_id is None:
            if not present or status["state"] == "inactive":
                return  # GitHub never heard of it, so it need not hear of its end
            self._keep(entry)
            remote_id = remote.create_deployment(body)
        if present and row.remote_id != remote_id:
            known = Deployment.update(remote_id=remote_id).where(
                Deployment.id == row.id, Deployment.environment == environment
            )
            self._write(known.execute)
        remote.set_deployment_status(remote_id, status)

    def _keep(self, entry: OutboxEntry) -> None:
        """Before something is created: two senders that do so would make two of it."""
        with self._database.write():
            if not outbox.renew(entry, self._now()):
                raise Lost

    def _refused(
        self, entry: OutboxEntry, project: Project, account: str, error: Exception
    ) -> None:
        """Try again later, or give up: by what GitHub said, or that it said nothing."""
        from github import GithubException

        text = f"{type(error).__name__}: {error}"[:500]
        delay = limits.backoff(entry.attempts)
        if isinstance(error, GithubException):
            headers = error.headers or {}
            asked = limits.delay_asked_for(error.status, headers, str(error), self._clock())
            if asked is not None:
                delay = asked
                self._silent[account] = self._now() + int(asked * 1000)
            elif error.status == _BAD_CREDENTIALS:
                # An expired token or a wrong clock is mended by the operator, in time.
                delay = _MENDING
                self._silent[account] = self._now() + int(_MENDING * 1000)
            elif limits.is_final(error.status):
                self._give_up(entry, project, text)
                self._note_refusal(entry, project, error)
                return
        elif isinstance(error, UserError):
            self._give_up(entry, project, text)
            return
        elif not isinstance(error, OSError | SystemFault):  # requests' own errors are OSErrors
            logger.exception("outbox entry %d cannot be sent", entry.id)
        due_at = self._now() + int(delay * 1000)
        if due_at - entry.created_at > _PATIENCE:
            logger.warning("%s of %s is given up: %s", entry.kind, project.name, text)
            self._end(entry, OutboxState.DEAD, text)
            return
        logger.warning("%s of %s: %s; again in %.0f s", entry.kind, project.name, text, delay)
        self._write(lambda: outbox.postpone(entry, due_at, text))

    def _give_up(self, entry: OutboxEntry, project: Project, text: str) -> None:
        logger.warning("%s of %s is refused for good: %s", entry.kind, project.name, text)
        self._end(entry, OutboxState.DEAD, text)

    def _note_refusal(self, entry: OutboxEntry, project: Project, error: GithubException) -> None:
        """Have the project's people see why GitHub is told nothing more."""
        about_status = entry.kind == "status"
        gone = about_status and self._is_gone(project)
        words = refusals.words_of(error.data)
        state = refusals.state_of(error.status, error.headers or {}, words, gone=gone)
        # Without the permission for comments alone, the rest goes on.
        if state is not None and (about_status or state is not ProjectState.FORBIDDEN):
            self._set_state(project, state, words)

    def _note_success(self, entry: OutboxEntry, project: Project) -> None:
        if entry.kind == "status" and project.state in _PASSING_STATES:
            self._set_state(project, ProjectState.ACTIVE)

    def _set_state(self, project: Project, state: ProjectState, note: str = "") -> None:
        logger.warning("%s is %s now: %s", project.name, state, note)
        with self._database.write():
            projects.set_state([repository_of(project.name)], state, note)

    def _is_gone(self, project: Project) -> bool:
        """A refused status may also mean that the token lacks a permission."""
        from github import GithubException

        from bot.github.remote import Remote

        try:
            return Remote(self._client.repository(repository_of(project.name))).is_gone()
        except (GithubException, OSError):
            return False

    def _end(self, entry: OutboxEntry, state: OutboxState, error: str = "") -> None:
        self._write(lambda: outbox.end(entry, state, self._now(), error))
        if entry.kind == "approval" and state is OutboxState.DEAD and self._approver is not None:
            # GitHub said nothing for hours, or does not let us ask: whoever waits is told.
            approval = self._approver.asked(json.loads(entry.payload)["approval_id"])
            if approval is not None:
                self._approver.decide(approval, "")

    def _write(self, work: Callable[[], object]) -> None:
        """What was said to GitHub is noted, even if the database is just being restarted."""

        def write() -> None:
            with self._database.write():
                work()

        insist(write, longest=outbox.LEASE / 2000)

    def _now(self) -> int:
        return int(self._clock() * 1000)
