"""Counts what is served, without slowing it down.

A request costs one lock and two additions; every few seconds a thread writes the sums
to the database and tells the bus. Only numbers are kept: no address, no name, no path.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading

from bot.events import Bus, DeploymentServed
from bot.models import traffic
from bot.models.database import proxy
from bot.models.ids import now

logger = logging.getLogger(__name__)
_EVERY = 5.0  # s


class Traffic:
    """What was served of one deployment since it was last taken."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, list[int]] = {}

    def add(self, status: int, size: int) -> None:
        """One answer; `size` is its body's, in bytes."""
        with self._lock:
            counted = self._counts.get(status)
            if counted is None:
                self._counts[status] = [1, size]
            else:
                counted[0] += 1
                counted[1] += size

    def take(self) -> dict[int, tuple[int, int]]:
        """Status class → (requests, bytes), and start from nothing again."""
        with self._lock:
            taken, self._counts = self._counts, {}
        sums: dict[int, tuple[int, int]] = {}
        for status, (requests, size) in taken.items():
            so_far = sums.get(status // 100, (0, 0))
            sums[status // 100] = so_far[0] + requests, so_far[1] + size
        return sums


class TrafficBook:
    """The counters of all deployments that this process serves."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._counters: dict[str, Traffic] = {}
        self._lock = threading.Lock()
        self._process = 0

    def counter(self, deployment_id: str) -> Traffic:
        """The deployment's counter. The first call of a process starts the writing."""
        with self._lock:
            # Threads are not carried over a fork, so each process starts its own.
            if self._process != os.getpid():
                self._process = os.getpid()
                threading.Thread(target=self._keep_writing, name="traffic", daemon=True).start()
                atexit.register(self.write)
            return self._counters.setdefault(deployment_id, Traffic())

    def write(self) -> None:
        """Write the sums down, and tell of them."""
        with self._lock:
            counters = list(self._counters.items())
        taken = [(key, sums) for key, counter in counters if (sums := counter.take())]
        if not taken:
            return
        time = now()
        with proxy.obj.write():
            for deployment_id, sums in taken:
                for status, (requests, size) in sums.items():
                    traffic.add(deployment_id, time, status, requests, size)
                    self._bus.publish(DeploymentServed(deployment_id, status, size, requests))

    def _keep_writing(self) -> None:
        pause = threading.Event()
        while not pause.wait(_EVERY):
            try:
                self.write()
            except Exception:
                # Figures are worth less than going on; the next ones may be written.
                logger.exception("traffic could not be written")
