"""Connects a repository: its webhook at GitHub tells the bot of pushes and pull requests.

https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.errors import DeployStackError, SystemFault, UserError
from bot.github.client import Client
from bot.github.limits import is_final
from bot.settings import LOCAL_OWNER, Settings

if TYPE_CHECKING:
    from github import GithubException
    from github.Hook import Hook
    from github.Repository import Repository

EVENTS = ("push", "pull_request", "issue_comment", "delete", "repository")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*/(?!\.{1,2}\Z)[A-Za-z0-9._-]+")
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104


@dataclass(frozen=True, slots=True)
class Connected:
    """`created`: the webhook is new; otherwise it was there and is up to date now.

    `repository` is spelt as GitHub does.
    """

    repository: str
    hook_id: int
    url: str
    created: bool
    production_branch: str
    private: bool


def webhook_url(settings: Settings) -> str:
    return f"{settings.PUBLIC_URL}/webhooks/github"


def connect_repository(client: Client, settings: Settings, repository: str) -> Connected:
    """Give `owner/name` the bot's webhook, or bring the one that it has up to date.

    Doing it again changes nothing but the secret, which GitHub does not show: it is
    set to the newest of the settings. Raises `UserError` where the name, a setting or
    a permission has to be mended, `SystemFault` where GitHub cannot be asked.
    """
    from github import GithubException

    url = webhook_url(settings)
    _check(settings, repository)
    config = {
        "url": url,
        "content_type": "json",
        "secret": settings.GITHUB_WEBHOOK_SECRET[0].reveal(),
        "insecure_ssl": "0",
    }
    try:
        remote = client.repository(repository)
        known = hook_of(remote, url)
        hook = _changed(known, config) if known is not None else _created(remote, url, config)
        connected = Connected(
            repository=remote.full_name,
            hook_id=hook.id,
            url=url,
            created=known is None,
            production_branch=remote.default_branch or "main",
            private=remote.private,
        )
    except GithubException as error:
        raise _explained(error, repository, url) from error
    except OSError as error:
        raise SystemFault("github-unreachable", f"GitHub cannot be reached: {error}") from error
    return connected


def _check(settings: Settings, repository: str) -> None:
    if not _NAME.fullmatch(repository) or repository.startswith(f"{LOCAL_OWNER}/"):
        raise UserError(
            "not-a-repository", f"{repository!r} is not a repository.", "Write it as owner/name."
        )
    if not settings.allows(repository):
        raise UserError(
            "repository-not-allowed",
            f"{repository} is not in ALLOWED_REPOSITORIES.",
            "Add it there: pushes to other repositories are ignored.",
        )
    if settings.GITHUB_API_URL == "https://api.github.com":
        host = urlsplit(settings.PUBLIC_URL).hostname or ""
        if host in _LOCAL_HOSTS:
            raise UserError(
                "not-reachable",
                f"GitHub cannot reach {settings.PUBLIC_URL}.",
                "Set PUBLIC_URL to the address under which the internet sees this host.",
            )


def hook_of(repository: Repository, url: str) -> Hook | None:
    """The repository's webhook that leads to `url`."""
    return next((hook for hook in repository.get_hooks() if hook.config.get("url") == url), None)


def _changed(hook: Hook, config: dict[str, str]) -> Hook:
    """Events that somebody added stay; what we need is there, and it is switched on."""
    events = [*EVENTS, *(event for event in hook.events if event not in EVENTS)]
    hook.edit("web", config, events=["*"] if "*" in events else events, active=True)
    return hook


def _created(repository: Repository, url: str, config: dict[str, str]) -> Hook:
    from github import GithubException

    try:
        return repository.create_hook("web", config, events=list(EVENTS), active=True)
    except GithubException as error:
        # Somebody else may have been faster: GitHub takes no second webhook of one address.
        known = hook_of(repository, url) if error.status == 422 else None
        if known is None:
            raise
        return _changed(known, config)


def _explained(error: GithubException, repository: str, url: str) -> DeployStackError:
    if not is_final(error.status):
        return SystemFault("github-unreachable", f"GitHub answered with HTTP {error.status}.")
    if error.status == 401:
        return UserError(
            "bad-credentials",
            "GitHub does not accept the credentials.",
            "Make a new token, or check the App's id and key.",
        )
    if error.status == 422:
        return UserError(
            "webhook-refused",
            f"GitHub does not take {url} as a webhook's address: {_reasons(error.data)}",
            "Is PUBLIC_URL the address under which the internet sees this host?",
        )
    return UserError(
        "no-webhook-permission",
        f"The webhooks of {repository} may not be changed with these credentials.",
        "Does the repository exist? A fine-grained token needs the permission Webhooks:"
        " read and write, a classic one the scope admin:repo_hook. A GitHub App has a"
        " webhook of its own: install it on the repository instead.",
    )


def _reasons(data: Any) -> str:
    """https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed"""
    errors = data.get("errors", []) if isinstance(data, dict) else []
    said = [error.get("message", "") for error in errors if isinstance(error, dict)]
    message = data.get("message", "") if isinstance(data, dict) else ""
    return "; ".join(text for text in said if text) or message or "no reason given"
