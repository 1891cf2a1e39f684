"""One database, SQLite or PostgreSQL, and one way to write to it.

Reads may happen anywhere: peewee keeps one connection per thread, and nothing
here closes it between requests, since opening one costs more than a request.
Everything that writes does so inside `write()`.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
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

    shares_commits = True
    locks_rows = False

    def __init__(self, path: str, page_cache: int) -> None:
        super().__init__(
            path,
            pragmas={
                "journal_mode": "wal",
                # A 202 is a promise: FULL keeps it over a power cut too.
                "synchronous": "full",
                "foreign_keys": 1,
                "cache_size": -page_cache,
                # Pages that many commits touch are written back once for all of them.
                "wal_autocheckpoint": 4000,
            },
            timeout=30,
            check_same_thread=False,
        )
        self.announce: Callable[[], None] = lambda: None  # its own version number tells
        self.version: Callable[[], int | None] = lambda: None
        self._writer = threading.RLock()
        self._depth = 0
        self._lock_path = f"{path}.lock"
        self._lock_descriptor = -1
        self._lock_process = 0

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[None]:
        with self._writer:
            outermost = self._depth == 0
            if outermost:
                fcntl.flock(self._descriptor(), fcntl.LOCK_EX)
            self._depth += 1
            try:
                if outermost and not durable:
                    # https://www.sqlite.org/pragma.html#pragma_synchronous
                    self.execute_sql("PRAGMA synchronous = normal")  # type: ignore[no-untyped-call]
                with self.atomic("IMMEDIATE") if outermost else self.atomic():
                    yield
            finally:
                if outermost and not durable:
                    self.execute_sql("PRAGMA synchronous = full")  # type: ignore[no-untyped-call]
                self._depth -= 1
                if outermost:
                    fcntl.flock(self._descriptor(), fcntl.LOCK_UN)

    def lock_project(self, project_id: int) -> None:
        """Nothing to do: there is one writer."""

    def _descriptor(self) -> int:
        # A lock belongs to the open file, which a forked process would share.
        if self._lock_process != os.getpid():
            self._lock_descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
            self._lock_process = os.getpid()
        return self._lock_descriptor


class Database(Protocol):
    """What the rest of the project asks of a database."""

    # Whether requests do well to share one transaction (`bot.models.group_commit`).
    shares_commits: bool
    # Called after a commit that changed what visitors see, where the database itself
    # cannot say so (`bot.models.resolve.Changes`).
    announce: Callable[[], None]
    version: Callable[[], int | None]

    def write(self, *, durable: bool = True) -> Any:
        """A context manager: one transaction, nestable (inner ones are savepoints).

        It commits when the block ends and rolls back when it raises. Where the
        transaction is lost by no fault of its own it raises `SystemFault`.

        `durable=False`, of an outermost one: nobody waits for the disk. A power cut may
        undo it, as a whole and with nothing that was committed before it; later durable
        transactions make it durable too.
        """

    def lock_project(self, project_id: int) -> None:
        """Until the transaction ends, nobody else decides upon this project."""

    def execute_sql(self, sql: str, params: Any = None) -> Any: ...

    def connect(self, reuse_if_open: bool = False) -> Any: ...

    def close(self) -> Any: ...


def connect(url: str, connections: int = 10, page_cache: int = 8192) -> Database:
    """Open the database at `url`, bind the models to it, and bring it up to date.

    `sqlite:///path`, or `postgresql://user:password@host:port/name`; then this process
    opens at most so many `connections` at a time. `page_cache`: KiB of SQLite's memory for
    each thread that asks it much. Raises `InvalidSetting` where nothing is to be reached
    there. https://www.postgresql.org/docs/current/libpq-connect.html
    """
    scheme = urlsplit(url).scheme
    if scheme in {"postgresql", "postgres"}:
        return _connect_postgres(url, connections)
    path = urlsplit(url).path
    if scheme != "sqlite" or not path:
        raise InvalidSetting(
            "DATABASE_URL",
            f"cannot use {scheme or url!r}",
            "Use sqlite:///path or postgresql://user:password@host/name.",
        )
    return _connect_sqlite(Path(path), page_cache)


def _connect_sqlite(path: Path, page_cache: int) -> Database:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its companions (-wal, -shm) get its mode: https://www.sqlite.org/wal.html
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
    database = SqliteDatabase(str(path), page_cache)
    proxy.initialize(database)
    # Two processes that start together must not both migrate.
    with open(f"{path}.migrating", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Runner(database, str(MIGRATIONS)).up()
    # The opening thread may be about to fork; its connection must not be shared.
    database.close()
    return cast(Database, database)


def _connect_postgres(url: str, connections: int) -> Database:
    # Its driver is loaded only where it is used.
    from bot.models.postgres import open_postgres

    database = open_postgres(url, connections)
    proxy.initialize(database)
    with database.migrating():
        Runner(database, str(MIGRATIONS)).up()
    # Connections must not be carried over a fork either.
    database.close()
    return cast(Database, database)
