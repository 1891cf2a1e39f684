"""A GitHub App: a JWT signed with its key buys tokens of its installations, each for an hour.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bot.errors import DeployStackError, SystemFault, UserError
from bot.github.client import TIMEOUT, connection
from bot.github.limits import is_final
from bot.models import projects
from bot.secret import Secret
from bot.settings import LOCAL_OWNER, Settings

if TYPE_CHECKING:
    from github import Github, GithubIntegration
    from github.Repository import Repository

# A fetch that has just begun must not see its token expire.
_LEAST_LEFT = timedelta(minutes=10)


class AppClient:
    """A `Client` by way of the App's installations."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Builds ask for tokens while the sender is at work, and one connection cannot
        # carry two requests at a time: whatever goes through the App waits here.
        self._lock = threading.RLock()
        self._app: GithubIntegration | None = None
        self._login = ""
        self._found: dict[str, int] = {}
        self._installations: dict[int, Github] = {}
        self._tokens: dict[str, tuple[Secret, datetime]] = {}

    def repository(self, project: str) -> Repository:
        return self._installation(project).get_repo(project)

    def login(self) -> str:
        with self._lock:
            if not self._login:
                self._login = f"{self._integration().get_app().slug}[bot]"
            return self._login

    def account(self, project: str) -> str:
        """An installation is an owner's, and has limits of its own."""
        return project.partition("/")[0] + "/"

    def app(self) -> GithubIntegration | None:
        with self._lock:
            return self._integration()

    def token_for(self, project: str) -> Secret | None:
        """A token that may do nothing but read this one repository."""
        if project.startswith(f"{LOCAL_OWNER}/"):
            return None
        with self._lock:
            known = self._tokens.get(project)
            if known is None or known[1] - _LEAST_LEFT < datetime.now(UTC):
                bought = self._buy_token(project)
                if bought is None:
                    return None
                self._tokens[project] = known = bought
            return known[0]

    def _buy_token(self, project: str) -> tuple[Secret, datetime] | None:
        """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app"""
        from github import GithubException

        try:
            _, answer = self._integration().requester.requestJsonAndCheck(
                "POST",
                f"/app/installations/{self._installation_id(project)}/access_tokens",
                input={
                    "repositories": [project.partition("/")[2]],
                    "permissions": {"contents": "read"},
                },
            )
        except GithubException as error:
            if is_final(error.status) and not _is_private(project):
                return None  # it can be fetched by anybody
            raise _explained(error.status, project) from error
        except OSError as error:
            raise _explained(0, project) from error
        return Secret(answer["token"]), datetime.fromisoformat(answer["expires_at"])

    def _installation(self, project: str) -> Github:
        with self._lock:
            installation_id = self._installation_id(project)
            if installation_id not in self._installations:
                # PyGithub renews the installation's token shortly before it expires.
                auth = self._integration().auth.get_installation_auth(installation_id)
                self._installations[installation_id] = connection(self._settings, auth)
            return self._installations[installation_id]

    def _installation_id(self, project: str) -> int:
        """Webhooks of an App name its installation; for others GitHub is asked, once."""
        known = projects.by_name(project)
        if known is not None and known.installation_id is not None:
            return int(known.installation_id)
        if project not in self._found:
            owner, _, name = project.partition("/")
            self._found[project] = self._integration().get_repo_installation(owner, name).id
        return self._found[project]

    def _integration(self) -> GithubIntegration:
        if self._app is None:
            from github import Auth, GithubIntegration

            key = self._settings.GITHUB_APP_PRIVATE_KEY.reveal()
            self._app = GithubIntegration(
                auth=Auth.AppAuth(self._settings.GITHUB_APP_ID, key),
                base_url=self._settings.GITHUB_API_URL,
                timeout=TIMEOUT,
                user_agent="DeployStack",
                retry=0,
                seconds_between_requests=0,
                seconds_between_writes=0,
            )
        return self._app


def _is_private(project: str) -> bool:
    known = projects.by_name(project)
    return known is None or known.private


def _explained(status: int, project: str) -> DeployStackError:
    if status == 401:
        return UserError(
            "github-app-unknown",
            "GitHub does not accept the App's key.",
            "Do GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY belong together, and is the clock right?",
        )
    if is_final(status):
        return UserError(
            "github-app-not-installed",
            f"The GitHub App may not read {project}.",
            "Install it on the repository, with the permission Contents: read.",
        )
    return SystemFault(
        "github-unreachable", f"GitHub cannot be asked for a token (HTTP {status or 'none'})."
    )
