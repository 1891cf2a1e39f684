"""Deliveries as GitHub sends them, with only what a test wants to differ."""

from __future__ import annotations

import json
import time
from typing import Any

A, B, C = "a" * 40, "b" * 40, "c" * 40
ZEROS = "0" * 40


def repository(name: str = "octo/site", **changes: Any) -> dict[str, Any]:
    found = {
        "id": 1,
        "full_name": name,
        "private": False,
        "default_branch": "main",
        "pushed_at": int(time.time()),
    }
    return found | changes


def push(**changes: Any) -> dict[str, Any]:
    found = {
        "ref": "refs/heads/main",
        "before": A,
        "after": B,
        "deleted": False,
        "head_commit": {"id": B, "message": "Change"},
        "repository": repository(),
    }
    return found | changes


def pull_request(
    action: str = "opened",
    *,
    number: int = 7,
    sha: str = B,
    ref: str = "topic",
    head: str | None = "octo/site",
    state: str = "open",
    updated_at: str = "2026-01-01T10:00:00Z",
    **changes: Any,
) -> dict[str, Any]:
    found = {
        "action": action,
        "number": number,
        "pull_request": {
            "number": number,
            "state": state,
            "draft": False,
            "updated_at": updated_at,
            "head": {"sha": sha, "ref": ref, "repo": {"full_name": head} if head else None},
        },
        "repository": repository(pushed_at="2026-01-01T09:00:00Z"),
    }
    return found | changes


def delete(ref: str = "topic", ref_type: str = "branch", **changes: Any) -> dict[str, Any]:
    repo = repository(pushed_at="2099-01-01T00:00:00Z")
    return {"ref": ref, "ref_type": ref_type, "repository": repo} | changes


def encode(payload: Any) -> bytes:
    return json.dumps(payload).encode()
