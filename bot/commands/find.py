"""Finding the deployment or build that a person means."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

from bot.commands.session import Session
from bot.errors import UserError

_ALIASES = "~"  # what aliases' paths begin with
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def deployment(session: Session, meant: str, project: str = "") -> dict[str, Any]:
    """By its id, its address, a build's id, a full SHA, a branch or an alias; empty: the newest.

    Raises `UserError`: `deployment-not-found`, `project-missing`.
    """
    key = _key(meant)
    if key == _ALIASES:
        return _led_to(session, meant, project)
    if key.startswith("bld-"):
        key = session.client.get(f"builds/{quote(key, safe='')}")["data"]["deployment_id"]
    if key.startswith("dpl-"):
        found: dict[str, Any] = session.client.get(f"deployments/{quote(key, safe='')}")["data"]
        return found
    query: dict[str, Any] = {"sha": key} if _SHA.fullmatch(key) else {"ref": key}
    if "sha" not in query or session.project_name(project):
        query["project_id"] = session.project(project)["id"]
    rows = session.client.get("deployments", limit=1, **query)["data"]
    if not rows:
        return _led_to(session, meant, project)
    newest: dict[str, Any] = rows[0]
    return newest


def build(session: Session, meant: str, project: str = "") -> dict[str, Any]:
    """A build by its id, or the newest one of a deployment. Raises `UserError`."""
    if meant.startswith("bld-"):
        found: dict[str, Any] = session.client.get(f"builds/{quote(meant, safe='')}")["data"]
        return found
    of = deployment(session, meant, project)["id"]
    rows = session.client.get("builds", deployment_id=of, limit=1)["data"]
    if not rows:
        raise UserError("build-not-found", f"{of} was never built.")
    newest: dict[str, Any] = rows[0]
    return newest


def _led_to(session: Session, meant: str, project: str) -> dict[str, Any]:
    """What one of the project's names leads to, by the name or its address."""
    if meant and session.project_name(project):
        path = f"projects/{session.project(project)['id']}/aliases"
        address = f"{meant.rstrip('/')}/"
        for row in session.client.every(path):
            if row["name"] == meant or row["url"] == address:
                answered = session.client.get(f"deployments/{row['deployment_id']}")
                found: dict[str, Any] = answered["data"]
                return found
    raise UserError("deployment-not-found", f"There is no deployment {meant}".strip() + ".")


def _key(meant: str) -> str:
    """`https://host/<key>/…` and `https://<key>.host/` are the key's addresses."""
    if "://" not in meant:
        return meant
    parts = urlsplit(meant)
    first = parts.path.strip("/").partition("/")[0]
    return first or (parts.hostname or "").partition(".")[0]
