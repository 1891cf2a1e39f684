"""PostgreSQL and Redis for tests: real servers on private ports, ended with the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from tests.programs import require_program

_DEADLINE = 30.0  # seconds for a server to start or to end


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One process, its folder, and its port, which it keeps over restarts."""

    def __init__(self, folder: Path, account: int | None = None) -> None:
        self.port = free_port()
        self.folder = folder
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> tuple[str, ...]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._account,
            )
        end = time.monotonic() + _DEADLINE
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                pytest.fail((self.folder / "output.log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self, with_signal: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait(_DEADLINE)
            self._process = None

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.stop()
        meanwhile()
        self.start()


class Postgres(Server):
    """A cluster of its own. PostgreSQL refuses to run as root, so root lends it `nobody`."""

    def __init__(self, binaries: Path) -> None:
        folder = Path(tempfile.mkdtemp(prefix="deploystack-postgres-"))
        account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        if account is not None:
            os.chown(folder, account, -1)
        super().__init__(folder, account)
        self._binaries = binaries
        self._made = 0
        subprocess.run(
            (
                str(binaries / "initdb"),
                "--pgdata=data",
                "--username=bot",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ),
            cwd=folder,
            check=True,
            capture_output=True,
            user=account,
        )

    def command(self) -> tuple[str, ...]:
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",  # tests pull no plug
        }
        settings = (part for name, value in options.items() for part in ("-c", f"{name}={value}"))
        return (str(self._binaries / "postgres"), "-D", "data", *settings)

    def url(self, name: str) -> str:
        return f"postgresql://bot@127.0.0.1:{self.port}/{name}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def fresh_database(self, template: str = "template0") -> str:
        """The address of a new database."""
        self._made += 1
        name = f"test_{self._made}"
        end = time.monotonic() + _DEADLINE
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            while True:
                try:
                    connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
                except psycopg.errors.ObjectInUse:  # whoever closed it has not left it yet
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.02)
                else:
                    return self.url(name)

    def drop(self, url: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Server):
    """Appends to a file, so that what was queued outlives a restart."""

    def __init__(self, program: str) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="deploystack-redis-")))
        self._program = program

    def command(self) -> tuple[str, ...]:
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        return (self._program, *options, "--appendonly", "yes", "--appendfsync", "always")

    def url(self, number: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def flush(self) -> None:
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def close(self) -> None:
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def start_postgres() -> Postgres:
    """Skips the test, or fails it where CI=true, on a machine without PostgreSQL."""
    # Debian keeps the servers' programs out of PATH.
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    binaries = newest[-1].parent if newest else Path(require_program("initdb")).resolve().parent
    server = Postgres(binaries)
    server.start()
    return server


def start_redis() -> Redis:
    server = Redis(require_program("redis-server"))
    server.start()
    return server
