"""What has to be written is tried until it is through, but not for ever and not for anything."""

from __future__ import annotations

import threading

import pytest

from bot import patience
from bot.errors import SystemFault, UserError
from bot.patience import insist

AWAY = SystemFault("database-unavailable", "The database cannot be reached.")


class Work:
    """Fails so often, and then answers how often it was tried."""

    def __init__(self, failures: int, error: Exception = AWAY) -> None:
        self.failures = failures
        self.error = error
        self.tried = 0

    def __call__(self) -> int:
        self.tried += 1
        if self.tried <= self.failures:
            raise self.error
        return self.tried


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE", 0.001)


@pytest.mark.parametrize("code", ["database-unavailable", "database-busy"])
def test_a_database_that_comes_back_is_waited_for(code: str) -> None:
    assert insist(Work(5, SystemFault(code, "Later."))) == 6


@pytest.mark.parametrize(
    "error", [SystemFault("store-fault", "x"), UserError("code", "x"), ValueError("bug")]
)
def test_nothing_else_is_repeated(error: Exception) -> None:
    work = Work(5, error)
    with pytest.raises(type(error)):
        insist(work)
    assert work.tried == 1


def test_a_database_that_stays_away_is_given_up() -> None:
    with pytest.raises(SystemFault):
        insist(Work(10_000), longest=0.05)


def test_who_is_told_to_give_up_tries_once_more() -> None:
    giving_up = threading.Event()
    giving_up.set()
    work = Work(3)
    with pytest.raises(SystemFault):
        insist(work, giving_up)
    assert work.tried == 2
