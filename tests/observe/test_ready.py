"""Readiness: a process is ready when everything that it depends on answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bot.observe.ready import readiness


def ask(**checks: Any) -> tuple[str, dict[str, Any]]:
    seen: list[str] = []
    answer: Iterable[bytes] = readiness(checks)({}, lambda status, _headers: seen.append(status))
    return seen[0], json.loads(b"".join(answer))


def failing() -> None:
    raise ConnectionError("password=hunter2 refused")


def test_all_dependencies_answer() -> None:
    status, report = ask(database=lambda: True, store=lambda: None)
    assert status == "200 OK"
    assert report["ready"] is True
    assert set(report["checks"]) == {"database", "store"}
    assert all(check["ok"] and check["ms"] >= 0 for check in report["checks"].values())


def test_one_that_fails_is_named_without_its_words() -> None:
    status, report = ask(database=failing, store=lambda: None)
    assert status == "503 Service Unavailable"
    assert report["ready"] is False
    assert report["checks"]["database"]["ok"] is False
    assert report["checks"]["store"]["ok"] is True
    assert "hunter2" not in json.dumps(report)
