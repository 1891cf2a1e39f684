"""Many requests, one commit.

Making a transaction durable costs a disk flush. Threads that want to write at
the same moment therefore share one: the first to come leads, runs everybody's
work in one transaction (each in a savepoint of its own, so that one failure
leaves the others alone), and all return when it is committed. A lone request
waits for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from bot.models.database import Database

T = TypeVar("T")
# Bounds how long the first of a batch waits for the last of it.
LARGEST_BATCH = 64


class _Entry(Generic[T]):
    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class GroupCommit:
    """Runs callables in shared transactions. One per process and database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Entry[Any]] = deque()
        self._leading = threading.Lock()

    def run(self, work: Callable[[], T]) -> T:
        """Run `work` inside a transaction; return its result once that is durable.

        What `work` raises is raised here, and nothing it wrote is kept. `work` may
        run in another thread, and must not wait for anything but the database.
        """
        entry = _Entry(work)
        self._waiting.append(entry)
        with self._leading:
            if not entry.done:
                self._commit()
        if entry.error is not None:
            raise entry.error
        return cast(T, entry.result)

    def _commit(self) -> None:
        count = min(len(self._waiting), LARGEST_BATCH)
        batch = [self._waiting.popleft() for _ in range(count)]
        try:
            with self._database.write():
                for entry in batch:
                    self._run_one(entry)
        except BaseException as error:  # the commit itself failed: nobody's work is kept
            for entry in batch:
                entry.error = error
        for entry in batch:
            entry.done = True

    def _run_one(self, entry: _Entry[Any]) -> None:
        try:
            with self._database.write():
                entry.result = entry.work()
        except Exception as error:
            entry.error = error
