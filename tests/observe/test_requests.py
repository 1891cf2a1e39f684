"""Requests have ids, which lines of the log and answers carry."""

from __future__ import annotations

from typing import Any

import pytest

from bot.observe.context import ids
from bot.observe.requests import identified


def ask(**environ: str) -> tuple[str, str]:
    """(the id while it was answered, the id in the answer)"""
    seen: list[str] = []

    def application(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(ids()["request"])
        start_response("204 No Content", [("Content-Length", "0")])
        return []

    def start_response(_status: str, headers: list[tuple[str, str]]) -> None:
        seen.append(dict(headers)["X-Request-Id"])

    identified(application)(dict(environ), start_response)
    return seen[0], seen[1]


def test_each_request_has_an_id_of_its_own() -> None:
    (first, told), (second, _) = ask(), ask()
    assert first == told
    assert len(first) == 16
    assert first != second
    assert ids() == {}


def test_a_front_servers_id_is_kept() -> None:
    assert ask(HTTP_X_REQUEST_ID="5f0c-front-1") == ("5f0c-front-1", "5f0c-front-1")


@pytest.mark.parametrize("given", ["short", "x" * 65, "two\nlines-of-it", 'quote"-and-more', ""])
def test_what_is_no_id_is_replaced(given: str) -> None:
    used, _ = ask(HTTP_X_REQUEST_ID=given)
    assert used != given
    assert len(used) == 16
