"""Hands new builds to the queue, off the request's path.

What was committed is safe without it: a worker takes up every queued build at its
start and once a minute, so a crash between commit and queue costs time alone.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from bot.models import builds

logger = logging.getLogger(__name__)

# A message to the queue costs as much as taking a delivery in. The first ones go out
# at once; in a burst of pushes, which workers cannot keep up with anyway, the thread
# leaves this many times its own working time to the requests.
_REST = 19
_LARGEST_BATCH = 16


class Dispatcher:
    """One thread in each process, started by the first `wake` after a fork."""

    def __init__(self, enqueue: Callable[[Sequence[str]], None]) -> None:
        self._enqueue = enqueue
        self._starting = threading.Lock()
        self._process = 0
        self._woken: deque[str] = deque()
        self._outbox_waits = False
        self._something = threading.Event()

    def wake(self, build_ids: Sequence[str]) -> None:
        """Queue these builds soon; returns at once. None: there is something to tell alone."""
        self._woken.extend(build_ids)
        self._outbox_waits = self._outbox_waits or not build_ids
        self._something.set()
        if self._process != os.getpid():
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._process != os.getpid():
                threading.Thread(target=self._run, name="dispatcher", daemon=True).start()
                self._process = os.getpid()

    def _run(self) -> None:
        while True:
            self._something.wait()
            self._something.clear()
            if self._outbox_waits and not self._woken:
                self._hand_over()
            while self._woken:
                started = time.monotonic()
                self._hand_over()
                time.sleep(_REST * (time.monotonic() - started))

    def _hand_over(self) -> None:
        waits, self._outbox_waits = self._outbox_waits, False
        count = min(len(self._woken), _LARGEST_BATCH)
        woken = [self._woken.popleft() for _ in range(count)]
        try:
            # By now many builds of a burst are superseded by the next push to their branch.
            waiting = builds.still_queued(woken)
            if waiting or waits:
                self._enqueue(waiting)
        except Exception:
            logger.exception("%d builds could not be queued; the worker will", len(woken))
