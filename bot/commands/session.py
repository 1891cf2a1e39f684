"""The host that a command speaks to, and the token that it shows there.

A folder's link names a host, but a token goes only where its owner said that it
should: into a cloned folder anybody may have put a link.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bot.api.client import Client
from bot.commands import link, output, servers
from bot.commands.endings import explained
from bot.commands.output import json_option
from bot.errors import UserError


@dataclass(frozen=True)
class Session:
    """`as_json`: results are wanted as JSON."""

    client: Client
    as_json: bool
    linked: str

    def show(self, data: Any, lines: Any) -> None:
        output.result(data, self.as_json, lines)

    def project_name(self, given: str = "") -> str:
        """The project that is meant; empty: none was named."""
        return given or os.environ.get("DEPLOYSTACK_PROJECT", "") or self.linked

    def project(self, given: str = "") -> dict[str, Any]:
        """The project that is meant, as the host knows it. Raises `UserError`."""
        name = self.project_name(given)
        if not name:
            raise UserError(
                "project-missing",
                "No project is named.",
                "Give --project, or link the folder to one with `deploystack init`.",
            )
        found: list[dict[str, Any]] = self.client.get("projects", name=name)["data"]
        if not found:
            raise UserError("project-not-found", f"There is no project {name}.")
        return found[0]


def destination(server: str, linked: str) -> tuple[str, str]:
    """(address, token) that a command is to use."""
    known = servers.read()
    given = server or os.environ.get("DEPLOYSTACK_URL", "")
    token = os.environ.get("DEPLOYSTACK_TOKEN", "")
    if given:
        url = servers.normalised(given)
    elif linked in known.tokens and not token:
        url = linked
    else:
        url = known.current or servers.DEFAULT_URL
    return url, token or known.tokens.get(url, "")


def open_session(server: str = "", as_json: bool = False, folder: Path | None = None) -> Session:
    """`folder`: whose link counts; default: where the command is given."""
    found = link.read(folder or Path.cwd())
    url, token = destination(server, found.server)
    return Session(Client(url, token, servers.cache_folder()), as_json, found.project)


def project_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--project", default="", metavar="NAME", help="Default: the linked project."
    )(command)


def server_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--server", default="", metavar="URL", help="Default: where you are signed in."
    )(command)


def remote(command: Callable[..., None]) -> Callable[..., Any]:
    """A command that speaks to a host: it gets the session as its first argument."""

    @server_option
    @json_option
    @explained
    @wraps(command)
    def run(*, server: str, as_json: bool, **options: Any) -> None:
        session = open_session(server, as_json)
        try:
            command(session, **options)
        finally:
            session.client.close()

    return run


def all_pages(client: Client, path: str, limit: int, **query: object) -> list[dict[str, Any]]:
    """The newest `limit` of a list, over as many pages as that takes."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None and len(found) < limit:
        page = client.get(path, limit=min(100, limit - len(found)), cursor=cursor, **query)
        found += page["data"]
        cursor = page.get("next")
    return found
