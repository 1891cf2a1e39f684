"""Running Git, by GitPython: closed to the machine's own settings, stoppable, and quiet.

It knows how a Git process is started and ended; what Git is asked for is
`mirror`'s and `source`'s affair.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import git

from bot.builders.job import Stopped
from bot.errors import SystemFault

# How often a running process asks whether it is still wanted.
_LOOK = 0.1  # seconds
# A transfer slower than this many bytes per second for this many seconds is given up.
_STALLED = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")
_CHUNK = 1 << 18

# https://git-scm.com/docs/git#_environment_variables
# Proxies and certificates (HTTPS_PROXY, GIT_SSL_CAINFO, …) pass through as they are;
# HOME is closed because Git's HTTP library reads credentials from ~/.netrc.
_CLOSED = {
    "GIT_ASKPASS": "",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": os.devnull,
    "SSH_ASKPASS": "",
}


class GitFailed(Exception):
    """Git ended with an error; `message` is what it said (standard error)."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message or f"git exited with {exit_code}")
        self.exit_code = exit_code
        self.message = message


def run_git(
    repository: Path,
    arguments: tuple[str, ...],
    *,
    environment: Mapping[str, str] | None = None,
    content: bytes | None = None,
    cancelled: threading.Event | None = None,
    seconds: float | None = None,
    held: tuple[int, ...] = (),
) -> bytes:
    """Run one Git command on a bare repository; answers its standard output.

    `held` are file descriptors whose locks the process keeps for as long as it
    lives, even when we don't. Raises `GitFailed`, `Stopped` when `cancelled` is set,
    and `SystemFault` after `seconds`.
    """
    process = _start(repository, arguments, environment or {}, held, feeds=content is not None)
    deadline = time.monotonic() + seconds if seconds is not None else None
    while True:
        try:
            output, errors = process.communicate(content, timeout=_LOOK)
            break
        except subprocess.TimeoutExpired:
            content = None
            if cancelled is not None and cancelled.is_set():
                _kill(process)
                raise Stopped from None
            if deadline is not None and time.monotonic() > deadline:
                _kill(process)
                raise SystemFault(
                    "git-timed-out", f"git {arguments[0]} took longer than {seconds:.0f} s."
                ) from None
        except BaseException:
            _kill(process)
            raise
    if process.returncode != 0:
        raise GitFailed(process.returncode, errors.decode(errors="replace").strip())
    found: bytes = output
    return found


def _start(
    repository: Path,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    held: tuple[int, ...] = (),
    *,
    feeds: bool,
    source: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    standard_input = source or (subprocess.PIPE if feeds else subprocess.DEVNULL)
    execution: Any = git.Git(str(repository)).execute(
        ["git", *_STALLED, *arguments],
        istream=standard_input,  # type: ignore[arg-type]
        env=_CLOSED | {"GIT_DIR": str(repository)} | dict(environment),
        as_process=True,
        # Git starts helpers of its own: a group of its own makes them one to kill.
        start_new_session=True,
        pass_fds=held,
    )
    process: subprocess.Popen[bytes] = execution.proc
    # GitPython would terminate it when its wrapper is forgotten; we end it ourselves.
    execution.proc = None
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class ObjectReader:
    """Reads contents out of a repository by object id, a few at a time or in bulk."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, object_id: str) -> bytes:
        """One object's content; raises `GitFailed` where it is missing."""
        if self._process is None:
            self._process = _start(self._repository, ("cat-file", "--batch"), {}, feeds=True)
        writer, reader = self._process.stdin, self._process.stdout
        assert writer is not None and reader is not None  # noqa: S101, PT018 (both are pipes)
        writer.write(f"{object_id}\n".encode())
        writer.flush()
        content = reader.read(_size_in(reader.readline()))
        reader.read(1)
        return content

    def stream(self, object_ids: Iterable[str]) -> Iterator[Iterator[bytes]]:
        """The contents of many objects, in order, each in chunks; read each to its end.

        Git gets the ids in a file: it then never waits for us, nor we for it.
        """
        with tempfile.TemporaryFile() as wanted:
            wanted.write("".join(f"{object_id}\n" for object_id in object_ids).encode())
            wanted.seek(0)
            process = _start(
                self._repository,
                ("cat-file", "--batch", "--buffer"),
                {},
                feeds=False,
                source=wanted,
            )
            reader = process.stdout
            assert reader is not None  # noqa: S101 (a pipe)
            try:
                while header := reader.readline():
                    yield _chunks(reader, _size_in(header))
                    reader.read(1)
            finally:
                _kill(process)

    def close(self) -> None:
        if self._process is not None:
            _kill(self._process)
            self._process = None

    def __enter__(self) -> ObjectReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _size_in(header: bytes) -> int:
    """`<id> <type> <size>` → size. https://git-scm.com/docs/git-cat-file#_batch_output"""
    words = header.split()
    if len(words) != 3 or not words[2].isdigit():
        raise GitFailed(1, f"object {words[0].decode() if words else ''} is missing")
    return int(words[2])


def _chunks(reader: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = reader.read(min(size, _CHUNK))
        if not chunk:
            raise GitFailed(1, "an object ended early")
        size -= len(chunk)
        yield chunk
