"""Small files' contents, kept in memory: bounded, least recently used first out.

Contents are immutable, so nothing here is ever out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from bot.storage.store import Store

# Larger files are sent from the disk: there the system call costs little in comparison.
LARGEST_BODY = 256 << 10
_OVERHEAD = 400  # bytes that Python needs to keep one entry


class Bodies:
    """Contents by digest, shared by all deployments of this process."""

    def __init__(self, store: Store, largest: int) -> None:
        """`largest`: bytes that all of them may take together."""
        self._store = store
        self._room = largest
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    def get(self, digest: str, size: int) -> bytes | None:
        """The whole content; `None`: it is too large to be kept, open the file.

        Raises `FileNotFoundError` where the store has lost it.
        """
        kept = self._kept.get(digest)
        if kept is not None:
            try:  # noqa: SIM105 - `suppress` costs more than all of this function
                self._kept.move_to_end(digest)
            except KeyError:
                pass  # another thread has just let it go; it is good all the same
            return kept
        if size > LARGEST_BODY:
            return None
        with self._store.open(digest) as file:
            body = file.read()
        self._keep(digest, body)
        return body

    def _keep(self, digest: str, body: bytes) -> None:
        with self._lock:
            if digest not in self._kept:
                self._kept[digest] = body
                self._used += len(body) + _OVERHEAD
            while self._used > self._room and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self._used -= len(dropped) + _OVERHEAD
