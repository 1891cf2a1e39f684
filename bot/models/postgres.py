"""PostgreSQL behind the same door as SQLite: `bot.models.database.Database`.

A thread holds a connection for one statement, or for one transaction, and gives it
back: a process has at most as many as its pool allows, however many threads it has.
When the server was restarted, a statement outside a transaction is repeated on a
fresh connection; a transaction that was under way is lost, and says so.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import peewee
import psycopg
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase
from psycopg.pq import ConnStatus, TransactionStatus

from bot.errors import InvalidSetting, SystemFault

T = TypeVar("T")

# How long a statement waits for a server that is being restarted. GitHub gives a
# webhook ten seconds.
PATIENCE = 4.0  # seconds
_PAUSE = 0.1  # seconds between attempts to connect
_CONNECT_TIMEOUT = 3  # seconds; libpq takes whole ones
# "deploy", in ASCII: nobody else's advisory lock in this database.
_MIGRATING = 0x6465706C6F79
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = {"40001", "40P01", "55P03"}  # serialization, deadlock, lock not available
_LOCK = """
SELECT 1 FROM projects WHERE id = (SELECT COALESCE(main_id, id) FROM projects WHERE id = %s)
FOR NO KEY UPDATE
"""
# What visitors' requests are answered from, and processes may keep in memory.
_VISIBLE = re.compile(
    r'\s*(?:(?:UPDATE|DELETE\s+FROM)\s+"?(?:aliases|access|deployments|projects)\b'
    r'|INSERT\s+INTO\s+"?(?:aliases|access)\b)',
    re.IGNORECASE,
)


class PostgresDatabase(PooledPostgresqlDatabase):  # type: ignore[misc]
    """A bounded pool of connections that outlives the server's restarts."""

    # PostgreSQL itself flushes the commits of a moment together.
    shares_commits = False
    locks_rows = True

    def __init__(self, url: str, connections: int) -> None:
        self._held = threading.local()
        # Called after a commit that changed what visitors may see.
        self.announce: Callable[[], None] = lambda: None
        self.version: Callable[[], int | None] = lambda: None
        super().__init__(
            url,
            prefer_psycopg3=True,
            max_connections=connections,
            timeout=10,
            connect_timeout=_CONNECT_TIMEOUT,
            application_name="deploystack",
            # A dead network is found out within half a minute.
            keepalives_idle=15,
            keepalives_interval=5,
            keepalives_count=3,
        )

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[None]:
        """One transaction; raises `SystemFault` where it is lost with its connection
        (`database-unavailable`) or to another transaction (`database-busy`).
        """
        if self.in_transaction():
            with self.atomic():
                yield
            return
        self._held.visible = False
        self._held.projects = set()
        try:
            with self.atomic():
                if not durable:
                    # https://www.postgresql.org/docs/current/wal-async-commit.html
                    self.execute_sql("SET LOCAL synchronous_commit TO off")
                yield
        except (peewee.OperationalError, peewee.InterfaceError, psycopg.Error) as error:
            fault = _fault(error, self._is_dead())
            if fault is None:
                raise
            raise fault from error
        finally:
            self._let_go()
        if self._held.visible:
            self.announce()

    def lock_project(self, project_id: int) -> None:
        """Let nobody else decide upon a project until this transaction ends.

        SQLite has one writer anyway. Here it keeps the order in which a project's
        refs move, its builds end and its statuses are noted. Others may still refer
        to the project's row. Outside a transaction it does nothing. The projects of one
        repository are decided upon together: all have their main project's lock.
        """
        if not self.in_transaction():
            return
        held: set[int] = self._held.projects
        if project_id in held:
            return
        self.execute_sql(_LOCK, (project_id,))
        held.add(project_id)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if _VISIBLE.match(sql):
            self._held.visible = True
        if self.in_transaction():
            return super().execute_sql(sql, params)
        run = super().execute_sql
        try:
            found = self._patiently(lambda: run(sql, params))
        finally:
            # All rows are in this process's memory already.
            self._let_go()
        if getattr(self._held, "visible", False):
            self._held.visible = False
            self.announce()
        return found

    def begin(self, isolation_level: Any = None) -> None:
        run = super().begin
        self._patiently(lambda: run(isolation_level))

    def close(self) -> bool:
        """Close what the pool holds, and what `atomic` left to this thread."""
        self._let_go()
        self.close_idle()
        return True

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Repeat what failed for want of a server, once there is one again."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return attempt()
            except (peewee.OperationalError, peewee.InterfaceError) as error:
                if not self._is_dead():
                    raise
                self._let_go()
                # Whatever ended this connection has ended those that wait as well.
                self.close_idle()
                if time.monotonic() > end:
                    raise _unavailable() from error
                time.sleep(_PAUSE)
            except MaxConnectionsExceeded as error:
                raise SystemFault(
                    "database-busy", "All connections to the database are in use."
                ) from error

    def _is_dead(self) -> bool:
        """Whether this thread has no connection that still works."""
        connection = self._state.conn
        return connection is None or self._is_closed(connection)

    def _let_go(self) -> None:
        """Give this thread's connection back, or away if it is dead."""
        connection = self._state.conn
        if connection is None:
            return
        self._close(connection, close_conn=not self._can_reuse(connection))
        self._state.reset()

    def _is_closed(self, conn: Any) -> bool:
        return bool(conn.closed) or conn.pgconn.status != ConnStatus.OK

    def _can_reuse(self, conn: Any) -> bool:
        idle: bool = conn.pgconn.transaction_status == TransactionStatus.IDLE
        return idle and not self._is_closed(conn)

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Wait for other processes that migrate this database, then keep them waiting."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATING,))
            yield


def open_postgres(url: str, connections: int) -> PostgresDatabase:
    """Raises `InvalidSetting` where nothing can be reached there, in libpq's words."""
    normalised = "postgresql" + url[url.index("://") :]
    database = PostgresDatabase(normalised, connections)
    try:
        database.execute_sql("SELECT 1")
    except (SystemFault, peewee.PeeweeException) as error:
        problem = str(_driver_error(error.__cause__ or error)).strip().splitlines()[0]
        raise InvalidSetting(
            "DATABASE_URL", problem, "Does the server run, and are the name and password right?"
        ) from error
    return database


def _unavailable() -> SystemFault:
    return SystemFault("database-unavailable", "The database cannot be reached.")


def _driver_error(error: BaseException) -> BaseException:
    """What the driver said; peewee hands it on as its own error's first argument."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, psycopg.Error) else error


def _fault(error: Exception, dead: bool) -> SystemFault | None:
    """What a failed transaction means for its caller; `None`: a defect of ours."""
    cause = _driver_error(error)
    if dead:
        return _unavailable()
    if getattr(cause, "sqlstate", None) in _CONFLICTS:
        return SystemFault("database-busy", "Another transaction was in the way.")
    return None
