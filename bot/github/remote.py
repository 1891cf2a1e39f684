"""What is said to one repository at GitHub, and what is looked up there. Decides nothing.

Every write is one request. GitHub's refusals are raised as PyGithub's exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from github import GithubException
from github.Repository import Repository

from bot.github.limits import delay_asked_for

_JSON = {"Accept": "application/vnd.github+json"}


class Moved(Exception):
    """The repository has another name now, under which this has to be said again."""


class Remote:
    """One repository, for one thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def set_status(self, sha: str, body: Mapping[str, Any]) -> None:
        """https://docs.github.com/en/rest/commits/statuses#create-a-commit-status"""
        self._write("POST", f"/statuses/{sha}", body)

    def find_comment(self, number: int, marker: str, login: str) -> int | None:
        """The comment of `login` on issue or pull request `number` that begins with `marker`."""
        for comment in self._repository.get_issue(number).get_comments():
            author = comment.user.login.lower() if comment.user is not None else ""
            if (comment.body or "").startswith(marker) and author == login.lower():
                return int(comment.id)
        return None

    def create_comment(self, number: int, text: str) -> int:
        """https://docs.github.com/en/rest/issues/comments#create-an-issue-comment"""
        return self._write("POST", f"/issues/{number}/comments", {"body": text})

    def edit_comment(self, comment_id: int, text: str) -> bool:
        """`False`: it was deleted, or belongs to somebody else by now.

        https://docs.github.com/en/rest/issues/comments#update-an-issue-comment
        """
        try:
            self._write("PATCH", f"/issues/comments/{comment_id}", {"body": text})
        except GithubException as error:
            limited = delay_asked_for(error.status, error.headers or {}, str(error), 0)
            if error.status in {403, 404, 410} and limited is None:
                return False
            raise
        return True

    def react(self, comment_id: int, content: str) -> None:
        """https://docs.github.com/en/rest/reactions/reactions#create-reaction-for-an-issue-comment"""
        self._write("POST", f"/issues/comments/{comment_id}/reactions", {"content": content})

    def permission_of(self, login: str) -> str:
        """What somebody may do: `admin`, `write`, `read`, `none`; empty: GitHub does not say.

        https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
        """
        address = f"{self._repository.url}/collaborators/{quote(login, safe='')}/permission"
        try:
            _, answer = self._repository.requester.requestJsonAndCheck("GET", address)
        except GithubException as error:
            limited = delay_asked_for(error.status, error.headers or {}, str(error), 0)
            if error.status in {403, 404} and limited is None:
                return ""
            raise
        return str(answer["permission"])

    def find_deployment(self, sha: str, environment: str, payload: Mapping[str, str]) -> int | None:
        """The deployment of a commit to an environment that carries our `payload`."""
        _, found = self._repository.requester.requestJsonAndCheck(
            "GET",
            f"{self._repository.url}/deployments",
            parameters={"sha": sha, "environment": environment, "per_page": 100},
        )
        return next((int(one["id"]) for one in found if one.get("payload") == payload), None)

    def create_deployment(self, body: Mapping[str, Any]) -> int:
        """https://docs.github.com/en/rest/deployments/deployments#create-a-deployment"""
        return self._write("POST", "/deployments", body)

    def set_deployment_status(self, deployment_id: int, body: Mapping[str, Any]) -> None:
        """https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status"""
        self._write("POST", f"/deployments/{deployment_id}/statuses", body)

    def is_gone(self) -> bool:
        """Whether the repository can no longer be seen."""
        try:
            self._repository.requester.requestJsonAndCheck("GET", self._repository.url)
        except GithubException as error:
            return error.status in {404, 410, 451}
        return False

    def current_name(self) -> str:
        """What the repository is called now: they are renamed and handed over."""
        # PyGithub follows a 301, but takes a lazy repository's name from its old address.
        _, answer = self._repository.requester.requestJsonAndCheck("GET", self._repository.url)
        return str(answer["full_name"])

    def exhausted_until(self) -> float:
        """When the account may ask again, in seconds since 1970; 0: it may now."""
        remaining, _ = self._repository.requester.rate_limiting
        return float(self._repository.requester.rate_limiting_resettime) if not remaining else 0.0

    def _write(self, verb: str, path: str, body: Mapping[str, Any]) -> int:
        """The id of what was made or changed.

        GitHub answers a write to a renamed repository with 307, which PyGithub takes for
        success: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
        """
        _, answer = self._repository.requester.requestJsonAndCheck(
            verb, f"{self._repository.url}{path}", headers=dict(_JSON), input=dict(body)
        )
        if not isinstance(answer, dict) or "id" not in answer:
            raise Moved
        return int(answer["id"])
