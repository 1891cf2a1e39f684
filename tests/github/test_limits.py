"""GitHub's limits, and what its refusals ask for."""

from __future__ import annotations

import pytest

from bot.github.limits import Pace, backoff, delay_asked_for


def test_writes_stay_below_eighty_a_minute_and_five_hundred_an_hour() -> None:
    pace, time, written = Pace(), 0.0, []
    while time < 7200:
        wait = pace.wait(time)
        if wait > 0:
            time += wait
            continue
        pace.note(time)
        written.append(time)
        time += 0.01
    for window, most in ((60, 80), (3600, 500)):
        for start in written:
            assert sum(start <= moment < start + window for moment in written) <= most
    assert len(written) > 800


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
