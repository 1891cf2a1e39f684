"""Connecting a repository: from then on its pushes reach the host."""

from __future__ import annotations

from urllib.parse import quote

import click

from bot.commands.session import Session, remote
from bot.errors import UserError


@click.command()
@click.argument("repository", metavar="OWNER/REPO")
@remote
def connect(session: Session, repository: str) -> None:
    """Give a GitHub repository the host's webhook, and make its project.

    The host does it, with its own GITHUB_TOKEN or GitHub App and its own secret: it takes
    an administrator's token. Doing it again mends the webhook that is there.
    """
    owner, slash, name = repository.partition("/")
    if not (owner and slash and name):
        raise UserError(
            "not-a-repository", f"{repository!r} is not a repository.", "Write it as owner/name."
        )
    path = f"repositories/{quote(owner, safe='')}/{quote(name, safe='')}"
    done = session.client.send("PUT", path)["data"]
    verb = "Created" if done["created"] else "Updated"
    session.show(
        done,
        [
            f"{verb} the webhook of {done['repository']}: {done['url']}",
            "Next: push. The commit's status leads to its page.",
        ],
    )
