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

    def __init__(self, folder: Path, account: int | None = None, host: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.host = host  # where other machines reach it; this one does by 127.0.0.1, too
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

    def __init__(self, binaries: Path, host: str = "127.0.0.1") -> None:
        folder = Path(tempfile.mkdtemp(prefix="deploystack-postgres-"))
        account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        if account is not None:
            os.chown(folder, account, -1)
        super().__init__(folder, account, host)
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
        # Other machines are trusted as this one is.
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")

    def command(self) -> tuple[str, ...]:
        options = {
            "port": str(self.port),
            "listen_addresses": ",".join({"127.0.0.1", self.host}),
            "unix_socket_directories": "",
            "fsync": "off",  # tests pull no plug
        }
        settings = (part for name, value in options.items() for part in ("-c", f"{name}={value}"))
        return (str(self._binaries / "postgres"), "-D", "data", *settings)

    def url(self, name: str) -> str:
        return f"postgresql://bot@{self.host}:{self.port}/{name}"

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

    def __init__(self, program: str, host: str = "127.0.0.1") -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="deploystack-redis-")), host=host)
        self._program = program

    def command(self) -> tuple[str, ...]:
        hosts = sorted({"127.0.0.1", self.host})
        options = ("--port", str(self.port), "--bind", *hosts, "--protected-mode", "no")
        kept = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
        return (self._program, *options, *kept)

    def url(self, number: int = 0) -> str:
        return f"redis://{self.host}:{self.port}/{number}"

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


def start_postgres(host: str = "127.0.0.1") -> Postgres:
    """Skips the test, or fails it where CI=true, on a machine without PostgreSQL."""
    # Debian keeps the servers' programs out of PATH.
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    binaries = newest[-1].parent if newest else Path(require_program("initdb")).resolve().parent
    server = Postgres(binaries, host)
    server.start()
    return server


def start_redis(host: str = "127.0.0.1") -> Redis:
    server = Redis(require_program("redis-server"), host)
    server.start()
    return server
