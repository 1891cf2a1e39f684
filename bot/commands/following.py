"""Builds as they run: their logs on stderr, and how they ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.api.client import Client
from bot.errors import UserError


def follow(client: Client, build_id: str, say: Callable[[str], None]) -> None:
    """Say the lines of a build's log until the build has ended."""
    for line in client.follow(build_id):
        say(line)


def outcome(client: Client, build_id: str) -> dict[str, Any]:
    """A build that has ended well. Raises `UserError`: `build-not-ready`."""
    build: dict[str, Any] = client.get(f"builds/{build_id}")["data"]
    if build["status"] != "ready":
        why = f": {build['error_message']}" if build["error_message"] else "."
        raise UserError(
            "build-not-ready",
            f"The build is {build['status']}{why}",
            f"The whole log: {build['log_url']}",
        )
    return build
