"""Which contents a process has seen in a remote store, so as not to ask for each again.

An epoch lasts until something is deleted (`bot.storage.sweep_guard`): what was seen in
one that still lasts is there. Empty: none lasted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

_CONFIRMED = 200_000  # digests, of some 200 bytes each


class Confirmed:
    """Contents that this process has seen in the store, and in which epoch."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, tuple[int, str, bool]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, digest: str, size: int, epoch: str, *, old: bool = False) -> None:
        """`epoch` as of before it was looked for; `old`: it may soon be swept."""
        with self._lock:
            self._seen[bytes.fromhex(digest)] = size, epoch, old
            if len(self._seen) > _CONFIRMED:
                self._seen.popitem(last=False)

    def holds(self, digest: str, epoch: str) -> bool:
        found = self._seen.get(bytes.fromhex(digest))
        return found is not None and bool(epoch) and found[1] == epoch and not found[2]

    def size(self, digest: str, epoch: str) -> int | None:
        """The size in bytes of what was seen in this epoch."""
        found = self._seen.get(bytes.fromhex(digest))
        return found[0] if found is not None and epoch and found[1] == epoch else None

    def is_old(self, digest: str) -> bool:
        found = self._seen.get(bytes.fromhex(digest))
        return found is not None and found[2]

    def unsure(self, digests: Iterable[str], epoch: str) -> list[str]:
        """Those that may have been swept since they were seen."""
        return [
            digest
            for digest in digests
            if not epoch
            or (found := self._seen.get(bytes.fromhex(digest))) is None
            or found[1] != epoch
        ]

    def renewed(self, digest: str) -> None:
        with self._lock:
            found = self._seen.get(bytes.fromhex(digest))
            if found is not None:
                self._seen[bytes.fromhex(digest)] = found[0], found[1], False

    def forget(self, digest: str) -> None:
        with self._lock:
            self._seen.pop(bytes.fromhex(digest), None)
