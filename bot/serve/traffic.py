"""Counts what is served, without slowing it down.

A request costs one lock and three additions; totals go to the bus now and then. Only
numbers are kept: no address, no name, no path.
"""

from __future__ import annotations

import threading


class Traffic:
    """What was served of one deployment since it was last taken."""

    __slots__ = ("_counts", "_lock", "deployment_id")

    def __init__(self, deployment_id: str) -> None:
        self.deployment_id = deployment_id
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
        """Status → (requests, bytes), and start from nothing again."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return {status: (requests, size) for status, (requests, size) in taken.items()}
