"""The first administrator's token is shown to whoever sits at the terminal, and to no log."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from bot import first_token
from bot.local import supervisor
from bot.models.database import Database
from bot.settings import Settings


@pytest.fixture
def words(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bool], tuple[str, str]]:
    """(what `deploystack start` says of it, the token), on a terminal or in a log."""

    def start(terminal: bool) -> tuple[str, str]:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
        secret = first_token.make_if_first(settings, database)
        return supervisor._token_words(settings, secret), secret

    return start


def test_a_terminal_is_shown_the_token_once(words: Callable[[bool], tuple[str, str]]) -> None:
    said, secret = words(True)
    assert secret.startswith("dst_")
    assert secret in said
    assert words(True)[0].count("dst_") == 0


def test_a_log_is_told_where_it_lies_and_nothing_more(
    settings: Settings, words: Callable[[bool], tuple[str, str]]
) -> None:
    said, secret = words(False)
    assert secret not in said
    assert str(first_token.path_of(settings)) in said
    first_token.forget(settings, "dst_another")
    assert first_token.path_of(settings).read_text() == f"{secret}\n"
    first_token.forget(settings, secret)
    assert words(False)[0] == ""
