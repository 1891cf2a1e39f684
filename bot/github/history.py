"""What GitHub remembers: the webhook deliveries of the last days, and where branches are now.

Reads alone. GitHub's refusals are raised as PyGithub's exceptions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from github.Repository import Repository
    from github.Requester import Requester

# GitHub keeps deliveries for three days: 100 pages are 10,000 of them.
_MOST_PAGES = 100
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """One delivery in GitHub's list; `address` is where all of it is."""

    guid: str
    event: str
    address: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """An open pull request. `created_at` is in ms since 1970."""

    number: int
    sha: str
    branch: str
    fork: bool
    draft: bool
    author: str
    created_at: int


class Deliveries:
    """Those of one webhook: a repository's, or an App's.

    https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook
    https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook
    """

    def __init__(self, requester: Requester, address: str) -> None:
        self._requester = requester
        self._address = address

    def since(self, moment: int) -> Iterator[Listed]:
        """What was delivered, or should have been, after `moment` (ms), the newest first."""
        address: str | None = f"{self._address}?per_page={_PAGE}"
        for _ in range(_MOST_PAGES):
            if address is None:
                return
            headers, found = self._requester.requestJsonAndCheck("GET", address)
            for one in found:
                delivered = datetime.fromisoformat(one["delivered_at"])
                if delivered.timestamp() * 1000 < moment:
                    return
                yield Listed(one["guid"], one["event"], f"{self._address}/{one['id']}")
            address = _next_page(headers)

    def body(self, listed: Listed) -> bytes:
        """A delivery's payload, as JSON. It is not the text that was signed."""
        _, found = self._requester.requestJsonAndCheck("GET", listed.address)
        return json.dumps(found["request"]["payload"]).encode()


class Heads:
    """Where the branches and open pull requests of one repository are.

    Answers that have not changed cost no rate limit:
    https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate
    """

    def __init__(self, repository: Repository, etags: dict[str, str]) -> None:
        """`etags` are those of earlier answers; `remember` adds these ones'."""
        self._repository = repository
        self._etags = etags
        self._new: dict[str, str] = {}
        # GitHub's clock at the first answer, in ms: what is told of later is newer.
        self.asked_at = 0

    def branches(self) -> dict[str, str] | None:
        """Name → SHA of every branch; `None`: nothing has changed since they were asked for."""
        found = self._all("branches", {})
        return None if found is None else {one["name"]: one["commit"]["sha"] for one in found}

    def proposals(self) -> list[Proposal] | None:
        """Every open pull request; `None`: nothing has changed since they were asked for."""
        found = self._all("pulls", {"state": "open"})
        return None if found is None else [_proposal(one) for one in found]

    def remember(self) -> None:
        """What was answered has been dealt with, and need not be told again."""
        self._etags.update(self._new)

    def message(self, sha: str) -> str:
        """A commit's message."""
        address = f"{self._repository.url}/commits/{sha}"
        _, found = self._repository.requester.requestJsonAndCheck("GET", address)
        return str(found["commit"]["message"])

    def _all(self, what: str, parameters: dict[str, Any]) -> list[dict[str, Any]] | None:
        requester = self._repository.requester
        address: str | None = f"{self._repository.url}/{what}"
        given = {**parameters, "per_page": _PAGE}
        found: list[dict[str, Any]] = []
        first = ""
        while address is not None:
            known = self._etags.get(address, "")
            conditions = {"If-None-Match": known} if known and not found else {}
            headers, page = requester.requestJsonAndCheck(
                "GET", address, parameters=given, headers=conditions
            )
            self.asked_at = self.asked_at or _clock(headers)
            if page is None:  # 304
                return None
            found += page
            first = first or address
            address, given = _next_page(headers), {}
            # Only a list of one page is known by the tag of its first.
            if len(found) < _PAGE and headers.get("etag"):
                self._new[first] = headers["etag"]
        return found


def _proposal(one: dict[str, Any]) -> Proposal:
    head = one["head"]
    own = head["repo"] is not None and head["repo"]["id"] == one["base"]["repo"]["id"]
    created = datetime.fromisoformat(one["created_at"])
    return Proposal(
        number=one["number"],
        sha=head["sha"],
        branch=head["ref"],
        fork=not own,
        draft=bool(one.get("draft")),
        author=one["user"]["login"] if one["user"] is not None else "",
        created_at=int(created.timestamp() * 1000),
    )


def _next_page(headers: dict[str, Any]) -> str | None:
    """https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api"""
    for part in str(headers.get("link", "")).split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            parts = urlsplit(address.strip().strip("<>"))
            return f"{parts.scheme}://{parts.netloc}{parts.path}?{parts.query}"
    return None


def _clock(headers: dict[str, Any]) -> int:
    date = headers.get("date")
    return int(parsedate_to_datetime(date).timestamp() * 1000) if date else 0
