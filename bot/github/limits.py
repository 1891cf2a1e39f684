"""How fast GitHub lets us write, and how long to wait when it says no. No I/O.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api and
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

MINUTE = 60_000  # ms
HOUR = 3_600_000  # ms
# How many writes an account may have made in a minute and in an hour for one more of a
# kind to be allowed. GitHub allows 80 and 500: what matters less stops earlier.
ALLOWED = {
    "approval": (76, 475),
    "status": (76, 475),
    "comment": (64, 400),
    "reaction": (48, 300),
    "deployment": (48, 300),
}
# A deployment is made and then given its state; of an approval GitHub is only asked.
WRITES = {"approval": 0, "status": 1, "comment": 1, "reaction": 1, "deployment": 2}
_FIRST_DELAY = 2.0  # seconds
_LONGEST_DELAY = 900.0
# GitHub asks for at least this after a secondary limit that names no time.
_SECONDARY_DELAY = 60.0
# Client errors that may pass: a time-out, a conflict, too early.
_PASSING = frozenset({408, 409, 425, 429})


def wait(kind: str, written: Sequence[tuple[str, int]], time: int) -> int:
    """Milliseconds until an entry of this kind may be sent; 0: now.

    `written` says what was sent in the last hour, (kind, time in ms), the oldest first.
    """
    times = [at for kind_written, at in written for _ in range(WRITES[kind_written])]
    waits = [0]
    for most, window in zip(ALLOWED[kind], (MINUTE, HOUR), strict=True):
        over = len(times) - most
        if over >= 0:
            waits.append(times[over] + window - time)
    return max(waits)


def backoff(attempts: int) -> float:
    """Seconds before the next attempt: doubling, bounded, and scattered by a fifth."""
    delay = min(_FIRST_DELAY * 2 ** min(max(attempts - 1, 0), 20), _LONGEST_DELAY)
    return float(delay * random.uniform(0.8, 1.2))  # noqa: S311 (not for secrecy)


def delay_asked_for(
    status: int, headers: Mapping[str, str], message: str, time: float
) -> float | None:
    """Seconds that a refusal tells us to wait; `None`: it is no rate limit.

    `time` is in seconds since 1970, as `X-RateLimit-Reset` is.
    """
    if status not in {403, 429}:
        return None
    named = {name.lower(): value for name, value in headers.items()}
    if (retry_after := named.get("retry-after", "")).isdecimal():
        return float(retry_after)
    if named.get("x-ratelimit-remaining") == "0":
        reset = named.get("x-ratelimit-reset", "")
        return max(float(reset) - time, 1.0) if reset.isdecimal() else _SECONDARY_DELAY
    if status == 429 or "rate limit" in message.lower() or "abuse" in message.lower():
        return _SECONDARY_DELAY
    return None


def is_final(status: int) -> bool:
    """Whether a refusal with this HTTP status would be the same next time."""
    return 400 <= status < 500 and status not in _PASSING
