"""Who we are at GitHub: an App's installation, a personal token, or nobody.

PyGithub is imported where it is used: the web process asks only whether there are
credentials, and need not pay for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from bot.secret import Secret
from bot.settings import LOCAL_OWNER, Settings

if TYPE_CHECKING:
    from github import Github, GithubIntegration
    from github.Auth import Auth
    from github.Repository import Repository

# GitHub itself gives up on a request after ten seconds.
TIMEOUT = 12  # seconds
_PAGE = 100


class Client(Protocol):
    """Access to the repositories of projects.

    `token_for` may be called by many threads; what `repository` answers belongs to one
    thread at a time, since PyGithub's connection does. What GitHub refuses is raised as
    PyGithub's `GithubException`, what the network does as `OSError`, except where said.
    """

    def repository(self, project: str) -> Repository:
        """`owner/name`, lazily: no request is made before something is asked of it."""

    def login(self) -> str:
        """The account that our comments are written by."""

    def account(self, project: str) -> str:
        """What a project's requests count against: the beginning of all names that share it."""

    def app(self) -> GithubIntegration | None:
        """The GitHub App that we are; `None`: we are a person's token."""

    def token_for(self, project: str) -> Secret | None:
        """A token that git may read the repository with; short-lived where there is an App.

        `None`: try without. Raises `UserError` where a private repository is out of the
        App's reach, `SystemFault` where GitHub cannot be asked.
        """


def client_from(settings: Settings) -> Client | None:
    """The client of the credentials in the settings; `None`: there are none."""
    if settings.GITHUB_APP_ID:
        from bot.github.installations import AppClient

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
        self._login = ""

    def repository(self, project: str) -> Repository:
        return self._connection().get_repo(project)

    def login(self) -> str:
        if not self._login:
            self._login = self._connection().get_user().login
        return self._login

    def account(self, project: str) -> str:
        del project  # a user's limits are the same everywhere
        return ""

    def app(self) -> GithubIntegration | None:
        return None

    def token_for(self, project: str) -> Secret | None:
        return None if project.startswith(f"{LOCAL_OWNER}/") else self._settings.GITHUB_TOKEN

    def _connection(self) -> Github:
        from github import Auth

        with self._lock:
            if self._github is None:
                auth = Auth.Token(self._settings.GITHUB_TOKEN.reveal())
                self._github = connection(self._settings, auth)
            return self._github


def connection(settings: Settings, auth: Auth) -> Github:
    from github import Github

    return Github(
        auth=auth,
        base_url=settings.GITHUB_API_URL,
        timeout=TIMEOUT,
        user_agent="DeployStack",
        per_page=_PAGE,
        # The outbox retries, knows the limits, and never waits inside a request.
        retry=0,
        seconds_between_requests=0,
        seconds_between_writes=0,
        lazy=True,
    )
