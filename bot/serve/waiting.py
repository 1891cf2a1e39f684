"""What an address says that has no site: not yet, no longer, or never.

While something is under way the page follows it and turns into the site by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from bot.models import coming, foresight, wanted
from bot.models.ids import now
from bot.models.resolve import Found
from bot.models.status import ACTIVE, BuildStatus, DeploymentStatus
from bot.models.wanted import Wish
from bot.serve import pages
from bot.serve.address import SHA
from bot.serve.site import Headers
from bot.serve.visit import Visit
from bot.settings import Settings

_EXPIRED = (
    "This deployment's time was up, or room was needed. Its commit is built again where a "
    "branch or pull request leads to it."
)


class Waiting:
    """Answers for keys and aliases that have no site."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def not_ready(self, found: Found, visit: Visit) -> Iterable[bytes]:
        """There is such a deployment, and no site of it."""
        log = self._settings.build_url(found.build_id) if found.build_id else ""
        if found.status == DeploymentStatus.DELETED:
            return visit.page(410, pages.page("Deleted", "This deployment was deleted."))
        if found.status == DeploymentStatus.EXPIRED:
            gone = 410, pages.page("No longer kept", _EXPIRED)
            offered = found.sha and visit.is_navigation() and wanted.is_offered(found.project)
            return self._on_visit(found.sha, visit, gone) if offered else visit.page(*gone)
        if found.status == DeploymentStatus.SKIPPED:
            text = found.problem or "The commit's message asked for no deployment."
            link = (log, "See its log") if log else None
            return visit.page(404, pages.page("Not deployed", text, link=link))
        if found.build_status in ACTIVE or found.status == DeploymentStatus.READY:
            state = found.build_status or "publishing"
            seconds = max(0, now() - (found.queued_at or now())) // 1000
            expected = self._prospects(found) if state == BuildStatus.QUEUED else ""
            body = pages.building(found.project, found.sha, state, log, seconds, expected)
            headers = [("X-Build-Queue", expected)] if expected else []
            return visit.page(202, body, [*_following(state), *headers])
        text = found.problem or f"The build is {found.build_status}."
        link = (log, "See its log") if log else None
        return visit.page(404, pages.page("This build did not become a page", text, link=link))

    def _prospects(self, found: Found) -> str:
        waiting = foresight.waiting(self._settings.PROJECT_CONCURRENCY).get(found.build_id)
        return waiting.text if waiting is not None else ""

    def unknown(self, key: str, visit: Visit) -> Iterable[bytes]:
        """There is no such deployment: perhaps it waits for somebody, or for this visit."""
        if SHA.fullmatch(key):
            awaiting = coming.awaiting_approval(key)
            if awaiting is not None:
                url = f"{self._settings.GITHUB_SERVER_URL}/{awaiting.project}"
                pull_request = (f"{url}/pull/{awaiting.number}", f"Pull request {awaiting.number}")
                text = (
                    "This commit comes from a fork. It is built once somebody who may write to "
                    f"{awaiting.project} has approved it."
                )
                body = pages.following("Waiting for approval", text, "waiting", pull_request)
                return visit.page(202, body, _following("waiting for approval"))
            if visit.is_navigation():
                return self._on_visit(key, visit, (404, pages.no_deployment()))
        return visit.page(404, pages.no_deployment())

    def _on_visit(self, sha: str, visit: Visit, otherwise: tuple[int, bytes]) -> Iterable[bytes]:
        """A commit that was never built, or is no longer kept: have the worker look for it
        (`bot.visits`), where a project builds on visits.
        """
        wish = wanted.want(sha)
        if wish is Wish.LIMITED:
            text = "Too many commits are asked for at the moment. Try again in a minute."
            return visit.page(429, pages.page("One moment", text), [("Retry-After", "60")])
        if wish not in {Wish.NEW, Wish.ASKED}:
            return visit.page(*otherwise)
        text = f"Commit {sha[:12]} is not built. It is being looked for in the branches and tags."
        body = pages.following("Looking for the commit", text, "looking", None)
        return visit.page(202, body, _following("looking for the commit"))


def _following(state: str) -> Headers:
    """What the page's script goes by, and programs may."""
    return [("Retry-After", "1"), ("X-Build-Status", state)]
