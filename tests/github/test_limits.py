"""GitHub's limits, and what its refusals ask for."""

from __future__ import annotations

import pytest

from bot.github import limits
from bot.github.limits import HOUR, MINUTE, WRITES, backoff, delay_asked_for, is_final


def test_writes_stay_below_eighty_a_minute_and_five_hundred_an_hour() -> None:
    time, sent = 0, []
    kinds = ["status", "comment", "deployment"]
    while time < 1.1 * HOUR:
        recent = [(kind, at) for kind, at in sent if at > time - HOUR]
        free = [kind for kind in kinds if limits.wait(kind, recent, time) == 0]
        if free:
            sent.append((free[-1], time))
        time += 500
    for window, most in ((MINUTE, 80), (HOUR, 500)):
        for _, start in sent:
            within = [WRITES[kind] for kind, at in sent if start <= at < start + window]
            assert sum(within) <= most
    assert {kind for kind, _ in sent} == set(kinds)
    assert len(sent) > 400


@pytest.mark.parametrize(
    ("kind", "writes", "wait"),
    [
        ("status", 0, 0),
        ("deployment", 47, 0),
        ("deployment", 48, 60_000),
        ("comment", 48, 0),
        ("comment", 64, 60_000),
        ("status", 64, 0),
        ("status", 76, 60_000),
        ("status", 77, 60_001),
    ],
)
def test_what_matters_less_stops_earlier(kind: str, writes: int, wait: int) -> None:
    written = [("status", 1000 + number) for number in range(writes)]
    assert limits.wait(kind, written, 1000) == wait


def test_backoff_doubles_and_is_bounded() -> None:
    for attempts, expected in ((1, 2), (2, 4), (5, 32), (30, 900)):
        assert 0.8 * expected <= backoff(attempts) <= 1.2 * expected


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        (403, {"Retry-After": "30"}, "", 30),
        (429, {"retry-after": "5"}, "", 5),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1060"}, "", 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "900"}, "", 1),
        (403, {}, "You have exceeded a secondary rate limit", 60),
        (429, {}, "", 60),
        (403, {}, "Resource not accessible by integration", None),
        (404, {"Retry-After": "5"}, "", None),
        (500, {}, "", None),
    ],
)
def test_what_a_refusal_asks_for(
    status: int, headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert delay_asked_for(status, headers, message, 1000.0) == seconds


@pytest.mark.parametrize(
    ("status", "final"),
    [
        *((status, True) for status in (400, 401, 403, 404, 410, 422)),
        *((status, False) for status in (408, 409, 429, 500, 503)),
    ],
)
def test_which_refusals_are_final(status: int, final: bool) -> None:
    assert is_final(status) is final
