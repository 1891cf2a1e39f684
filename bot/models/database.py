"""One database, SQLite or PostgreSQL, and one way to write to it.

Reads may happen anywhere: peewee keeps one connection per thread, and nothing
here closes it between requests, since opening one costs more than a request.
Everything that writes does so inside `write()`.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import peewee
from playhouse.migrations import Runner

from bot.errors import InvalidSetting

MIGRATIONS = Path(__file__).parent / "migrations"
# Every table's model is bound to this; `connect` points it at the real database.
proxy = peewee.DatabaseProxy()


class SqliteDatabase(peewee.SqliteDatabase):
    """SQLite whose writers wait in a fair queue.

    SQLite's own busy handler sleeps and polls, which showed as tails of hundreds
    of milliseconds under load. A thread lock plus a file lock between processes
    wakes the next writer at once.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            path,
            pragmas={
                "journal_mode": "wal",
                # A 202 is a promise: FULL keeps it over a power cut too.
                "synchronous": "full",
                "foreign_keys": 1,
                "cache_size": -8192,
                # Pages that many commits touch are written back once for all of them.
                "wal_autocheckpoint": 4000,
            },
            timeout=30,
            check_same_thread=False,
        )
        self._writer = threading.RLock()
        self._depth = 0
        self._lock_path = f"{path}.lock"
        self._lock_descriptor = -1
        self._lock_process = 0

    @contextmanager
    def write(self) -> Iterator[None]:
        with self._writer:
            if self._depth == 0:
                fcntl.flock(self._descriptor(), fcntl.LOCK_EX)
            self._depth += 1
            try:
                with self.atomic("IMMEDIATE") if self._depth == 1 else self.atomic():
                    yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    fcntl.flock(self._descriptor(), fcntl.LOCK_UN)

    def _descriptor(self) -> int:
        # A lock belongs to the open file, which a forked process would share.
        if self._lock_process != os.getpid():
            self._lock_descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
            self._lock_process = os.getpid()
        return self._lock_descriptor


class Database(Protocol):
    """What the rest of the project asks of a database."""

    def write(self) -> Any:
        """A context manager: one transaction, nestable (inner ones are savepoints).

        It commits when the block ends and rolls back when it raises.
        """

    def execute_sql(self, sql: str, params: Any = None) -> Any: ...

    def connect(self, reuse_if_open: bool = False) -> Any: ...

    def close(self) -> Any: ...


def connect(url: str) -> Database:
    """Open the database at `url`, bind the models to it, and bring it up to date.

    `sqlite:///path` is all that this version speaks; raises `InvalidSetting` otherwise.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or not parts.path:
        raise InvalidSetting(
            "DATABASE_URL", f"cannot use {parts.scheme or url!r}", "Use sqlite:///path."
        )
    path = Path(parts.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    database = SqliteDatabase(str(path))
    proxy.initialize(database)
    # Two processes that start together must not both migrate.
    with open(f"{path}.migrating", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Runner(database, str(MIGRATIONS)).up()
    # The opening thread may be about to fork; its connection must not be shared.
    database.close()
    return cast(Database, database)
