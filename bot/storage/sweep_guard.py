"""Keeps sweeps and publishings in a bucket apart, without a lock that a killed process holds.

Buckets have no locks, but what one process wrote the next one sees:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel

- Who publishes says so first, then looks whether anybody sweeps; if so, it takes that
  back and waits.
- Who sweeps says so first, then looks whether anybody publishes, and waits for them. So
  at least one of the two sees the other.
- The `epoch` changes before and after anything is deleted. Whoever has seen a content
  in an epoch that still lasts while it publishes knows that it is there.

What is said holds for so long; a process that was killed or asleep for longer counts no
more, and finds that out by its own clock before it goes on.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot.storage.bucket import Bucket
from bot.storage.store import StoreFault

_PUBLISHING, _SWEEPING = "coordination/publishing/", "coordination/sweeping/"
_EPOCH = "coordination/epoch"
# Others count on what was said for so many seconds; who said it stops well before.
_HOLDS = 600
_OWN = 300
_LOOK = 0.1  # seconds between looks while waiting
_EPOCH_KEPT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to publish, or to delete. `epoch` is empty where none lasts."""

    epoch: str
    until: float  # time.monotonic()

    def assure(self) -> None:
        """To be called right before what it is needed for. Raises `StoreFault`."""
        if time.monotonic() > self.until:
            raise StoreFault("The process was held up for too long; it has to start over.")


class SweepGuard:
    """Of one bucket. `patience`: the longest that a sweep waits for publishings, in seconds;
    publishings wait four times as long for sweeps."""

    def __init__(self, bucket: Bucket, patience: float = 30) -> None:
        self._bucket = bucket
        self._patience = patience
        self._epoch = ""
        self._read_at = 0.0

    def epoch(self) -> str:
        """The epoch of a moment ago, to be asked for before looking for contents.

        Empty while something may be deleted. An old answer is safe: it is only not
        trusted when it comes to publishing.
        """
        if not self._epoch or time.monotonic() - self._read_at > _EPOCH_KEPT:
            self.epoch_now()
        return self._epoch

    def epoch_now(self) -> str:
        """The epoch as it is at this moment."""
        self._epoch = self._stable_epoch()
        self._read_at = time.monotonic()
        return self._epoch

    @contextmanager
    def publishing(self) -> Iterator[Permit]:
        """While nothing is deleted. Raises `StoreFault`."""
        deadline = time.monotonic() + 4 * self._patience
        while True:
            mine = _PUBLISHING + uuid.uuid4().hex
            started = time.monotonic()
            self._bucket.put(mine, b"")
            try:
                if not self._others(_SWEEPING):
                    yield Permit(self.epoch_now(), started + _OWN)
                    return
            finally:
                self._bucket.delete([mine])
            if time.monotonic() > deadline:
                raise StoreFault("The store was being swept for too long.")
            time.sleep(_LOOK)

    @contextmanager
    def sweeping(self) -> Iterator[Permit]:
        """While nothing is published. Raises `StoreFault` where somebody publishes all the time."""
        mine = _SWEEPING + uuid.uuid4().hex
        started = time.monotonic()
        self._bucket.put(mine, b"")
        try:
            self._bucket.put(_EPOCH, uuid.uuid4().hex.encode())
            self._forget_stale()
            while self._others(_PUBLISHING):
                if time.monotonic() - started > self._patience:
                    raise StoreFault("Somebody publishes all the time; the sweep is put off.")
                time.sleep(_LOOK)
            yield Permit("", started + _OWN)
        finally:
            self._bucket.put(_EPOCH, uuid.uuid4().hex.encode())
            self._bucket.delete([mine])

    def _others(self, prefix: str) -> bool:
        return any(found.age < _HOLDS for found in self._bucket.list(prefix))

    def _forget_stale(self) -> None:
        """What killed processes said; after a new epoch, so that nobody trusts what they left."""
        for prefix in (_PUBLISHING, _SWEEPING):
            stale = [found.key for found in self._bucket.list(prefix) if found.age >= _HOLDS]
            if stale:
                self._bucket.delete(stale)

    def _stable_epoch(self) -> str:
        # A sweep that was killed counts too: nobody knows what it deleted last.
        if next(iter(self._bucket.list(_SWEEPING)), None) is not None:
            return ""
        try:
            return self._bucket.get(_EPOCH).decode()
        except FileNotFoundError:
            return "first"
