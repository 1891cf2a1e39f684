"""Tells GitHub what the outbox holds. No transaction is open while GitHub is asked.

A failed build never comes from here: whatever GitHub answers, an entry ends sent,
dropped (a newer one says more), or dead with the reason.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from bot.github.client import Client
from bot.github.limits import Pace, backoff, delay_asked_for
from bot.models import outbox
from bot.models.database import Database
from bot.models.status import OutboxState
from bot.models.tables import Deployment, OutboxEntry, Project, PullRequest
from bot.settings import Settings

logger = logging.getLogger(__name__)

# An entry is given up after this long; what it said is old news by then.
_PATIENCE = 6 * 3600 * 1000  # ms
_MOST_AT_ONCE = 200


class Sender:
    """Sends what is due. One at a time in each process is enough."""

    def __init__(
        self,
        database: Database,
        client: Client,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._client = client
        self._settings = settings
        self._clock = clock
        self._pace = Pace()
        # After a rate limit everything waits, since the limit is ours as a whole.
        self._silent_until = 0.0

    def deliver_due(self, limit: int = _MOST_AT_ONCE) -> int | None:
        """Send up to `limit` due entries; answers when the next one is due, in ms, if any."""
        for _ in range(limit):
            wait = max(self._pace.wait(self._clock()), self._silent_until - self._clock())
            if wait > 0:
                return self._milliseconds(wait)
            with self._database.write():
                entry = outbox.claim_due(self._milliseconds())
            if entry is None:
                break
            self._deliver(entry)
        return outbox.next_due()

    def _deliver(self, entry: OutboxEntry) -> None:
        # A comment shows the present: only the newest is worth a write. A status is
        # left out only once sending it has failed before.
        if (entry.kind == "comment" or entry.attempts > 1) and outbox.replaced(entry):
            self._end(entry, OutboxState.DROPPED)
            return
        project = Project.get_by_id(entry.project_id)
        try:
            self._send(entry, project, json.loads(entry.payload))
        except Exception as error:
            self._refused(entry, project, error)
        else:
            self._end(entry, OutboxState.SENT)

    def _send(self, entry: OutboxEntry, project: Project, payload: dict[str, Any]) -> None:
        match entry.kind:
            case "status":
                self._send_status(project, payload)
            case "comment":
                self._send_comment(project, payload, repeated=entry.attempts > 1)
            case "deployment":
                self._send_deployment(project, payload, repeated=entry.attempts > 1)

    def _send_status(self, project: Project, payload: dict[str, Any]) -> None:
        commit = self._client.repository(project.name).get_commit(payload["sha"])
        self._pace.note(self._clock())
        commit.create_status(
            payload["state"],
            target_url=payload["target_url"],
            description=payload["description"],
            context=payload["context"],
        )

    def _send_comment(self, project: Project, payload: dict[str, Any], *, repeated: bool) -> None:
        """Edit the one comment; create it where there is none."""
        from github import UnknownObjectException

        pull_request = PullRequest.get_by_id(payload["pull_request_id"])
        issue = self._client.repository(project.name).get_issue(payload["number"])
        comment_id = pull_request.comment_id
        if comment_id is None and repeated:
            # The first attempt may have created it before its answer got lost.
            comment_id = next(
                (c.id for c in issue.get_comments() if payload["marker"] in (c.body or "")), None
            )
        self._pace.note(self._clock())
        if comment_id is not None:
            try:
                issue.get_comment(comment_id).edit(payload["body"])
            except UnknownObjectException:
                pass  # somebody deleted it
            else:
                self._remember_comment(pull_request, comment_id)
                return
        self._remember_comment(pull_request, issue.create_comment(payload["body"]).id)

    def _remember_comment(self, pull_request: PullRequest, comment_id: int) -> None:
        if pull_request.comment_id != comment_id:
            with self._database.write():
                PullRequest.update(comment_id=comment_id).where(
                    PullRequest.id == pull_request.id
                ).execute()

    def _send_deployment(
        self, project: Project, payload: dict[str, Any], *, repeated: bool
    ) -> None:
        repository = self._client.repository(project.name)
        row = Deployment.get_by_id(payload["deployment_id"])
        status = payload["status"]
        remote_id = row.remote_id
        if remote_id is None and status["state"] == "inactive":
            return  # GitHub never heard of it, so it need not hear of its end
        if remote_id is None and repeated:
            found = repository.get_deployments(
                sha=payload["sha"], environment=payload["environment"]
            )
            remote_id = next((deployment.id for deployment in found), None)
        self._pace.note(self._clock())
        if remote_id is None:
            remote_id = repository.create_deployment(
                payload["sha"],
                auto_merge=False,
                required_contexts=[],
                environment=payload["environment"],
                transient_environment=not payload["production"],
                production_environment=payload["production"],
            ).id
        if row.remote_id != remote_id:
            with self._database.write():
                Deployment.update(remote_id=remote_id).where(Deployment.id == row.id).execute()
        self._pace.note(self._clock())
        repository.get_deployment(remote_id).create_status(auto_inactive=False, **status)

    def _refused(self, entry: OutboxEntry, project: Project, error: Exception) -> None:
        """Try again later, or give up: by what GitHub said, or that it said nothing."""
        from github import GithubException

        text = f"{type(error).__name__}: {error}"[:500]
        asked: float | None = None
        if isinstance(error, GithubException):
            headers = dict(error.headers or {})
            asked = delay_asked_for(error.status, headers, str(error), self._clock())
            if asked is not None:
                self._silent_until = self._clock() + asked
            elif error.status < 500 and error.status not in {401, 408}:
                self._give_up(entry, project, error.status, text)
                return
        elif not isinstance(error, OSError):  # requests' own errors are OSErrors
            logger.exception("outbox entry %d cannot be sent", entry.id)
        if self._milliseconds() - entry.created_at > _PATIENCE:
            self._end(entry, OutboxState.DEAD, text)
            return
        delay = asked if asked is not None else backoff(entry.attempts)
        logger.warning("%s of %s: %s; again in %.0f s", entry.kind, project.name, text, delay)
        with self._database.write():
            outbox.postpone(entry, self._milliseconds(delay), text)

    def _give_up(self, entry: OutboxEntry, project: Project, status: int, text: str) -> None:
        logger.warning("%s of %s is refused for good: %s", entry.kind, project.name, text)
        self._end(entry, OutboxState.DEAD, text)
        if status in {403, 404, 410} and entry.kind == "status":
            with self._database.write():
                Project.update(state="unreachable").where(Project.id == project.id).execute()

    def _end(self, entry: OutboxEntry, state: OutboxState, error: str = "") -> None:
        with self._database.write():
            outbox.end(entry, state, error)

    def _milliseconds(self, ahead: float = 0.0) -> int:
        return int((self._clock() + ahead) * 1000)
