"""Uploads that go on beside one another, as far as there is room for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_PENDING = 64  # uploads that may wait; small contents are held in memory until they are sent


class Batch:
    """Uploads of one thread that go on beside one another."""

    def __init__(self, senders: ThreadPoolExecutor) -> None:
        self._senders = senders
        self._room = threading.Semaphore(_PENDING)
        self._failure: BaseException | None = None
        self._futures: set[Future[None]] = set()
        self._digests: set[str] = set()

    def add(self, digest: str, send: Callable[[], None]) -> None:
        if digest in self._digests:
            return
        self._digests.add(digest)
        self._room.acquire()
        if self._failure is not None:
            self._room.release()
            raise self._failure
        future = self._senders.submit(send)
        self._futures.add(future)
        future.add_done_callback(self._ended)

    def finish(self) -> None:
        """Wait until all is there. Raises what the first failed one raised."""
        for future in list(self._futures):
            # Those who wait are woken before `_ended` is called.
            if (failure := future.exception()) is not None:
                raise failure
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """See to it that nothing goes on."""
        for future in list(self._futures):
            future.cancel()
        for future in list(self._futures):
            with contextlib.suppress(BaseException):
                future.exception()

    def _ended(self, future: Future[None]) -> None:
        if not future.cancelled() and future.exception() is not None and self._failure is None:
            self._failure = future.exception()
        self._futures.discard(future)
        self._room.release()
