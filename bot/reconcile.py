"""Takes up what GitHub could not tell us: while the bot was down, or the network was.

First the deliveries that never arrived, as GitHub kept them (three days); then the heads
of known branches and of open pull requests, for what is older than that. What comes of
it goes through the same door as a delivery, so that nothing is ever built twice. It is
not in charge of what a push means (`bot.webhooks`), nor of how GitHub is asked
(`bot.github.history`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.errors import DeployStackError
from bot.github import limits
from bot.github.client import Client
from bot.github.connect import EVENTS, hook_of, webhook_url
from bot.github.history import Deliveries, Heads, Proposal
from bot.models import heads as known_heads
from bot.models import inbox
from bot.models.ids import now
from bot.models.tables import Project
from bot.settings import LOCAL_OWNER, Settings
from bot.webhooks import events
from bot.webhooks.events import BadDelivery, Event

if TYPE_CHECKING:
    from github import GithubException

logger = logging.getLogger(__name__)

# GitHub keeps deliveries this long: https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/viewing-webhook-deliveries
_REMEMBERED = 3 * 24 * 3600 * 1000  # ms
# What is on its way at this moment is not missed.
_OVERLAP = 600_000  # ms
_TAKEN_UP = frozenset({*EVENTS, "installation", "installation_repositories"})

# (GUID, event's name, SHA-256 of the body in hex, event)
Take = Callable[[str, str, str, Event], object]


@dataclass
class Found:
    """What one look came to."""

    deliveries: int = 0
    heads: int = 0
    unreachable: int = 0


class Reconciler:
    """Compares what GitHub knows with what we know. For one thread."""

    def __init__(self, settings: Settings, client: Client, take: Take) -> None:
        self._settings = settings
        self._client = client
        self._take = take
        self._since: dict[str, int] = {}
        self._hooks: dict[str, int] = {}
        self._etags: dict[str, str] = {}
        # Accounts that GitHub has told to wait, during this look.
        self._limited: set[str] = set()

    def run(self) -> Found:
        """Look at everything once. One project that fails keeps no other from being looked at."""
        found = Found()
        self._limited.clear()
        app = self._client.app()
        if app is not None:
            self._guarded(found, "the App", lambda: self._deliveries(found, "app"))
        for project in known_heads.active_projects():
            if project.name.startswith(f"{LOCAL_OWNER}/") or "/" not in project.name:
                continue
            if self._client.account(project.name) in self._limited:
                found.unreachable += 1
                continue
            if app is None:
                self._guarded(found, project.name, lambda p=project: self._hook(found, p))  # type: ignore[misc]
            self._guarded(found, project.name, lambda p=project: self._heads(found, p))  # type: ignore[misc]
        if found.deliveries or found.heads:
            logger.info("missed: %d deliveries, %d heads", found.deliveries, found.heads)
        return found

    def _guarded(self, found: Found, name: str, look: Callable[[], None]) -> None:
        from github import GithubException

        try:
            look()
        except (GithubException, OSError, DeployStackError) as error:
            found.unreachable += 1
            logger.warning("%s could not be compared with GitHub: %s", name, str(error)[:200])
            if isinstance(error, GithubException) and _is_limit(error):
                self._limited.add(self._client.account(name))

    def _hook(self, found: Found, project: Project) -> None:
        """The deliveries of a repository's own webhook, where we may see it."""
        if project.name not in self._hooks:
            repository = self._client.repository(project.name)
            ours = hook_of(repository, webhook_url(self._settings))
            if ours is None:
                return
            self._hooks[project.name] = ours.id
        self._deliveries(found, project.name)

    def _deliveries(self, found: Found, name: str) -> None:
        started = now()
        if name == "app":
            app = self._client.app()
            assert app is not None  # noqa: S101 (asked for by `run`)
            deliveries = Deliveries(app.requester, "/app/hook/deliveries")
        else:
            repository = self._client.repository(name)
            address = f"{repository.url}/hooks/{self._hooks[name]}/deliveries"
            deliveries = Deliveries(repository.requester, address)
        since = self._since.get(name, started - _REMEMBERED)
        missed = [
            listed
            for listed in deliveries.since(since)
            if listed.event in _TAKEN_UP and inbox.find(listed.guid) is None
        ]
        # In the order in which they happened; a delivery sent again has one GUID.
        for listed in {one.guid: one for one in reversed(missed)}.values():
            body = deliveries.body(listed)
            try:
                event = events.parse(listed.event, "application/json", body)
            except BadDelivery as error:
                logger.warning("delivery %s cannot be read: %s", listed.guid, error)
                continue
            self._take(listed.guid, listed.event, hashlib.sha256(body).hexdigest(), event)
            found.deliveries += 1
        self._since[name] = started - _OVERLAP

    def _heads(self, found: Found, project: Project) -> None:
        heads = Heads(self._client.repository(project.name), self._etags)
        self._compare_branches(found, project, heads)
        self._compare_proposals(found, project, heads)
        # Only now: what failed on the way has to be told again.
        heads.remember()

    def _compare_branches(self, found: Found, project: Project, heads: Heads) -> None:
        branches = heads.branches()
        if branches is None:
            return
        for branch, known in known_heads.branches(project.id).items():
            sha = branches.get(branch, "")
            # An answer without the production branch is no reason to end builds.
            believed = bool(sha) or project.production_branch in branches
            if sha != known and believed:
                message = heads.message(sha) if sha else None
                self._say(found, _pushed(project, branch, known, sha, message, heads.asked_at))

    def _compare_proposals(self, found: Found, project: Project, heads: Heads) -> None:
        proposals = heads.proposals()
        if proposals is None:
            return
        known_open = known_heads.open_pull_requests(project.id)
        for one in proposals:
            # What was open before the project was connected waits for its next push.
            heard_of = one.number in known_open or one.created_at >= project.created_at
            if heard_of and known_open.get(one.number) != one.sha:
                self._say(found, _proposed(project, one, heads.asked_at))
        for number in known_open.keys() - {one.number for one in proposals}:
            gone = Proposal(number, known_open[number], "", False, False, "", 0)
            self._say(found, _proposed(project, gone, heads.asked_at, is_open=False))

    def _say(self, found: Found, event: events.Push | events.PullRequest) -> None:
        name = "push" if isinstance(event, events.Push) else "pull_request"
        digest = hashlib.sha256(json.dumps(repr(event)).encode()).hexdigest()
        self._take(f"reconciled-{uuid.uuid4()}", name, digest, event)
        found.heads += 1


def _is_limit(error: GithubException) -> bool:
    asked = limits.delay_asked_for(error.status, error.headers or {}, str(error), 0)
    return asked is not None


def _pushed(
    project: Project, branch: str, before: str, after: str, message: str | None, asked_at: int
) -> events.Push:
    return events.Push(
        repository=project.name,
        private=project.private,
        default_branch=project.production_branch,
        installation_id=project.installation_id,
        ref=f"refs/heads/{branch}",
        before=before,
        after=after or "0" * 40,
        deleted=not after,
        message=message,
        moved_at=asked_at,
    )


def _proposed(
    project: Project, one: Proposal, asked_at: int, *, is_open: bool = True
) -> events.PullRequest:
    return events.PullRequest(
        repository=project.name,
        private=project.private,
        default_branch=project.production_branch,
        installation_id=project.installation_id,
        action="synchronize" if is_open else "closed",
        number=one.number,
        open=is_open,
        draft=one.draft,
        head_sha=one.sha,
        head_ref=one.branch,
        fork=one.fork,
        moved_at=asked_at,
        actor=one.author,
    )
