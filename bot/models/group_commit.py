"""Many requests, one commit.

Making a transaction durable costs a disk flush. Threads that want to write at the
same moment therefore share one: the first to come leads, and runs the work of all
who have joined by the time it has the database. While it commits, the next leader's
batch gathers. A lone request waits for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from bot.errors import SystemFault
from bot.models.database import Database

T = TypeVar("T")
# Bounds how long the first of a batch waits for the last of it.
LARGEST_BATCH = 64
# How often a transaction is tried that another one was in the way of.
_ATTEMPTS = 3


class _Entry(Generic[T]):
    """One caller's work. `turn` is released when it is done, or when its caller is to lead."""

    __slots__ = ("done", "error", "result", "turn", "work")

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class GroupCommit:
    """Runs callables in shared transactions. One per process and database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._waiting: deque[_Entry[Any]] = deque()
        self._led = False

    def run(self, work: Callable[[], T]) -> T:
        """Run `work` inside a transaction; return its result once that is durable.

        What `work` raises is raised here, and nothing it wrote is kept. `work` may run
        in another thread; it must not wait for anything but the database. Where another's
        work fails, it is run a second time, its first run undone: it must leave its marks
        in the database alone. Where the database flushes the commits of a moment together
        by itself, each `work` has a transaction of its own: they would only wait for one
        another's locks.
        """
        if not self._database.shares_commits:
            return self._run_alone(work)
        entry = _Entry(work)
        with self._guard:
            self._waiting.append(entry)
            leads = not self._led
            self._led = True
        if not leads:
            entry.turn.acquire()
        if not entry.done:
            self._lead()
        if entry.error is not None:
            raise entry.error
        return cast(T, entry.result)

    def _run_alone(self, work: Callable[[], T]) -> T:
        for left in reversed(range(_ATTEMPTS)):
            try:
                with self._database.write():
                    return work()
            except SystemFault as fault:
                if fault.code != "database-busy" or not left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _lead(self) -> None:
        batch: Sequence[_Entry[Any]] = ()
        try:
            with self._database.write():
                # Only now: whoever came while another process wrote joins in.
                batch = self._take()
                for entry in batch:
                    entry.result = entry.work()
        except BaseException as error:
            batch = batch or self._take()
            if len(batch) > 1 and isinstance(error, Exception):
                self._run_apart(batch)
            else:
                for entry in batch:
                    entry.error = error
        finally:
            self._pass_on(batch)

    def _take(self) -> Sequence[_Entry[Any]]:
        with self._guard:
            count = min(len(self._waiting), LARGEST_BATCH)
            return [self._waiting.popleft() for _ in range(count)]

    def _run_apart(self, batch: Sequence[_Entry[Any]]) -> None:
        """Each in a transaction of its own, so that one's failure leaves the others alone."""
        for entry in batch:
            try:
                with self._database.write():
                    entry.result = entry.work()
            except Exception as error:
                entry.error = error

    def _pass_on(self, batch: Sequence[_Entry[Any]]) -> None:
        with self._guard:
            successor = self._waiting[0] if self._waiting else None
            self._led = successor is not None
        # The successor first: its disk flush is what everybody after it waits for.
        if successor is not None:
            successor.turn.release()
        for entry in batch:
            entry.done = True
            entry.turn.release()
