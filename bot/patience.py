"""Keeps at what has to be written, while the database is away or somebody is in the way.

For workers alone: what a build has come to after minutes must not be lost because the
database is just being restarted. Requests have no time for that; they fail.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from bot.errors import SystemFault

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PASSING = frozenset({"database-unavailable", "database-busy"})
_LONGEST = 600.0  # seconds; whoever took the build over meanwhile has it by then
_PAUSE = 0.5  # seconds, doubled up to …
_LONGEST_PAUSE = 5.0


def insist(
    work: Callable[[], T], giving_up: threading.Event | None = None, longest: float = _LONGEST
) -> T:
    """Repeat `work`, a transaction or several that may each be repeated, until it is through.

    A transaction that was lost at its end may have been kept all the same: `work` has to
    find that out by itself. Raises what `work` raises, the faults of the database after
    `longest` seconds or once `giving_up` is set.
    """
    giving_up = giving_up or threading.Event()
    end = time.monotonic() + longest
    pause = _PAUSE
    while True:
        try:
            return work()
        except SystemFault as fault:
            if fault.code not in _PASSING or time.monotonic() > end:
                raise
            logger.warning("%s What is to be written is tried again.", fault)
        if giving_up.wait(pause):
            return work()
        pause = min(pause * 2, _LONGEST_PAUSE)
