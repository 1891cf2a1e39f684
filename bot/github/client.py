"""Who we are at GitHub: an App's installation, a personal token, or nobody.

PyGithub is imported where it is used: the web process asks only whether there are
credentials, and need not pay for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from bot.models import projects
from bot.secret import Secret
from bot.settings import LOCAL_OWNER, Settings

if TYPE_CHECKING:
    from github import Github
    from github.Auth import AppAuth, AppInstallationAuth
    from github.Repository import Repository

_TIMEOUT = 15  # seconds


class Client(Protocol):
    """Access to the repositories of projects."""

    def repository(self, project: str) -> Repository:
        """`owner/name`, lazily: no request is made before something is asked of it."""

    def token_for(self, project: str) -> Secret | None:
        """A token that git may read the repository with; short-lived where there is an App."""


def client_from(settings: Settings) -> Client | None:
    """The client of the credentials in the settings; `None`: there are none."""
    if settings.GITHUB_APP_ID:
        return AppClient(settings)
    if settings.GITHUB_TOKEN:
        return TokenClient(settings)
    return None


class TokenClient:
    """A personal access token."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._github: Github | None = None

    def repository(self, project: str) -> Repository:
        from github import Auth

        with self._lock:
            if self._github is None:
                auth = Auth.Token(self._settings.GITHUB_TOKEN.reveal())
                self._github = _connection(self._settings, auth)
        return self._github.get_repo(project)

    def token_for(self, project: str) -> Secret | None:
        return None if project.startswith(f"{LOCAL_OWNER}/") else self._settings.GITHUB_TOKEN


class AppClient:
    """A GitHub App: a JWT signed with its key buys tokens of its installations, each for an hour.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._auth: AppAuth | None = None
        self._installations: dict[int, tuple[Github, AppInstallationAuth]] = {}

    def repository(self, project: str) -> Repository:
        return self._installation(project)[0].get_repo(project)

    def token_for(self, project: str) -> Secret | None:
        if project.startswith(f"{LOCAL_OWNER}/"):
            return None
        # PyGithub renews the token shortly before it expires.
        return Secret(self._installation(project)[1].token)

    def _installation(self, project: str) -> tuple[Github, AppInstallationAuth]:
        from github import Auth

        with self._lock:
            if self._auth is None:
                key = self._settings.GITHUB_APP_PRIVATE_KEY.reveal()
                self._auth = Auth.AppAuth(self._settings.GITHUB_APP_ID, key)
            installation_id = self._installation_id(project)
            if installation_id not in self._installations:
                auth = self._auth.get_installation_auth(installation_id)
                self._installations[installation_id] = (
                    _connection(self._settings, auth),
                    auth,
                )
            return self._installations[installation_id]

    def _installation_id(self, project: str) -> int:
        """Webhooks of an App name its installation; for others GitHub is asked."""
        known = projects.by_name(project)
        if known is not None and known.installation_id is not None:
            return int(known.installation_id)
        from github import GithubIntegration

        integration = GithubIntegration(
            auth=self._auth, base_url=self._settings.GITHUB_API_URL, timeout=_TIMEOUT, retry=0
        )
        owner, _, name = project.partition("/")
        return int(integration.get_repo_installation(owner, name).id)


def _connection(settings: Settings, auth: object) -> Github:
    from github import Github

    return Github(
        auth=auth,  # type: ignore[arg-type]
        base_url=settings.GITHUB_API_URL,
        timeout=_TIMEOUT,
        # The outbox retries, knows the limits, and never waits inside a request.
        retry=0,
        seconds_between_requests=0,
        seconds_between_writes=0,
        lazy=True,
    )
