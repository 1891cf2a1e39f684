"""A push to a repository on this machine, told to the bot exactly as GitHub would.

Repositories of the owner `_local` live in DATA_DIR/repositories. Nobody can own
that name on GitHub, so a webhook from there can never reach them by accident.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import git

from bot.errors import UserError
from bot.settings import LOCAL_OWNER, Settings

ZEROS = "0" * 40
_AUTHOR = git.Actor("DeployStack", "deploystack@localhost")


@dataclass(frozen=True, kw_only=True)
class Push:
    """What happened to a branch. `before` is `ZEROS` for a new one."""

    repository: str
    branch: str
    before: str
    after: str
    message: str


def local_repository(settings: Settings, name: str) -> git.Repo:
    """The bare repository `_local/<name>`, made if need be."""
    path = Path(settings.clone_url(f"{LOCAL_OWNER}/{name}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    repository = git.Repo.init(path, bare=True, initial_branch="main")
    with repository.config_writer() as configuration:
        # What is tried may be a shallow clone.
        configuration.set_value("receive", "shallowUpdate", "true")
    return repository


def commit_folder(folder: Path, message: str) -> git.Repo:
    """Make `folder` a repository with one commit of all that is in it."""
    repository = git.Repo.init(folder, initial_branch="main")
    repository.git.add(all=True)
    repository.index.commit(message, author=_AUTHOR, committer=_AUTHOR)
    return repository


def push(source: git.Repo, commit: str, settings: Settings, name: str, branch: str) -> Push:
    """Push a commit of `source` to a branch of `_local/<name>`."""
    sha = source.commit(commit).hexsha
    with local_repository(settings, name) as target:
        known = {head.name: head.commit.hexsha for head in target.heads}
        source.git.push("--force", "--quiet", target.git_dir, f"{sha}:refs/heads/{branch}")
    return Push(
        repository=f"{LOCAL_OWNER}/{name}",
        branch=branch,
        before=known.get(branch, ZEROS),
        after=sha,
        message=str(source.commit(sha).message),
    )


def payload(push: Push) -> dict[str, Any]:
    """The push event's body, with the fields GitHub sends.

    https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
    """
    owner, _, name = push.repository.partition("/")
    time_ = datetime.now(UTC).isoformat(timespec="seconds")
    person = {"name": _AUTHOR.name, "email": _AUTHOR.email}
    commit = {
        "id": push.after,
        "message": push.message,
        "timestamp": time_,
        "distinct": True,
        "author": person,
        "committer": person,
        "added": [],
        "removed": [],
        "modified": [],
    }
    return {
        "ref": f"refs/heads/{push.branch}",
        "before": push.before,
        "after": push.after,
        "created": push.before == ZEROS,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "head_commit": commit,
        "commits": [commit],
        "pusher": person,
        "sender": {"login": owner, "id": 1, "type": "User"},
        "repository": {
            "id": 1,
            "name": name,
            "full_name": push.repository,
            "private": True,
            "owner": {"login": owner, "name": owner, "id": 1},
            "default_branch": "main",
            "pushed_at": int(time.time()),
        },
    }


def send(settings: Settings, url: str, event: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST a signed delivery to the bot at `url`; answers what it says.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    content = json.dumps(body).encode()
    secret = settings.GITHUB_WEBHOOK_SECRET[0].reveal().encode()
    request = urllib.request.Request(  # noqa: S310 (our own address)
        f"{url}/webhooks/github",
        data=content,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/deploystack",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": "sha256="
            + hmac.new(secret, content, hashlib.sha256).hexdigest(),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise UserError(
            "webhook-refused",
            f"The bot answered {error.code}: {error.read().decode(errors='replace')}",
            "Do the bot and this command use the same DATA_DIR and GITHUB_WEBHOOK_SECRET?",
        ) from None
