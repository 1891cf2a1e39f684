"""How fast GitHub lets us write, and how long to wait when it says no. No I/O.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api and
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping

# Content writes allowed in a minute and in an hour, each kept a little under GitHub's 80 and 500.
_PER_MINUTE = 70
_PER_HOUR = 450
_FIRST_DELAY = 2.0  # seconds
_LONGEST_DELAY = 900.0
# GitHub asks for at least this after a secondary limit that names no time.
_SECONDARY_DELAY = 60.0


class Pace:
    """Counts content writes, so that the limits are never met. Times in seconds."""

    def __init__(self) -> None:
        self._written: deque[float] = deque(maxlen=_PER_HOUR)

    def wait(self, time: float) -> float:
        """Seconds until the next content write is allowed; 0: now."""
        waits = [0.0]
        for count, window in ((_PER_MINUTE, 60.0), (_PER_HOUR, 3600.0)):
            if len(self._written) >= count:
                waits.append(self._written[-count] + window - time)
        return max(waits)

    def note(self, time: float) -> None:
        self._written.append(time)


def backoff(attempts: int) -> float:
    """Seconds before the next attempt: doubling, bounded, and scattered by a fifth."""
    delay = min(_FIRST_DELAY * 2 ** max(attempts - 1, 0), _LONGEST_DELAY)
    return float(delay * random.uniform(0.8, 1.2))  # noqa: S311 (not for secrecy)


def delay_asked_for(
    status: int, headers: Mapping[str, str], message: str, time: float
) -> float | None:
    """Seconds that a refusal tells us to wait; `None`: it is no rate limit."""
    named = {name.lower(): value for name, value in headers.items()}
    if status not in {403, 429}:
        return None
    if (retry_after := named.get("retry-after", "")).isdecimal():
        return float(retry_after)
    if named.get("x-ratelimit-remaining") == "0":
        reset = named.get("x-ratelimit-reset", "")
        return max(float(reset) - time, 1.0) if reset.isdecimal() else _SECONDARY_DELAY
    if status == 429 or "rate limit" in message.lower() or "abuse" in message.lower():
        return _SECONDARY_DELAY
    return None
