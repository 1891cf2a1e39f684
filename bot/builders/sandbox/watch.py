"""Watching a confined command: streams its output, and ends it at a limit.

It knows nothing of how the command is confined; the runner hands over how to kill it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from bot.builders.sandbox.runner import Ending, Limits
from bot.errors import SystemFault

_LOOK = 0.05  # seconds between looks at time, memory and disk
_CHUNK = 1 << 16
# How long a killed command may take to be gone before we stop waiting for it.
_PATIENCE = 20.0  # seconds


class Transcript:
    """Hands a command's output on, up to a number of bytes."""

    def __init__(self, output: int, limit: int, log: Callable[[bytes], None]) -> None:
        os.set_blocking(output, False)
        self._output = output
        self._room = limit
        self._log = log
        self.ended = False
        self.full = False

    def read(self) -> bool:
        """Hand on one piece; answers whether there was one."""
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self.ended = True
            return False
        if self._room > 0:
            self._log(chunk[: self._room])
        self._room -= len(chunk)
        self.full = self._room < 0
        return True

    def read_all(self) -> None:
        while not self.full and self.read():
            pass


def watch(
    process: subprocess.Popen[bytes],
    transcript: Transcript,
    output: int,
    *,
    kill: Callable[[], None],
    limit_reached: Callable[[], Ending | None],
) -> Ending:
    """Follow `process` to its end, or end it by `kill`; answers why it ended.

    `output` is the read end of the pipe it writes to; all that it wrote before its
    end reaches the transcript. `limit_reached` is asked twenty times a second.
    """
    ending: Ending | None = None
    next_look = time.monotonic()
    with selectors.DefaultSelector() as selector, _exit_of(process) as exited:
        selector.register(output, selectors.EVENT_READ)
        selector.register(exited, selectors.EVENT_READ)
        try:
            while ending is None:
                ready = {key.fd for key, _ in selector.select(_LOOK)}
                if output in ready:
                    transcript.read()
                    if transcript.ended:
                        selector.unregister(output)
                if transcript.full:
                    ending = Ending.LOG_FULL
                elif exited in ready:
                    ending = Ending.EXITED
                    if process.wait() != 0:
                        # It may have failed on a limit that we were yet to see.
                        ending = limit_reached() or ending
                elif time.monotonic() >= next_look:
                    next_look = time.monotonic() + _LOOK
                    ending = limit_reached()
        finally:
            if ending is not Ending.EXITED:
                kill()
            _wait_for(process)
    transcript.read_all()
    return Ending.LOG_FULL if transcript.full else ending


def look_at_limits(
    limits: Limits,
    cancelled: threading.Event,
    *,
    memory_exceeded: Callable[[], bool],
    disk_exceeded: Callable[[], bool],
) -> Callable[[], Ending | None]:
    """A function that answers which limit is reached now. Time counts from this moment."""
    deadline = time.monotonic() + limits.seconds

    def reached() -> Ending | None:
        if cancelled.is_set():
            return Ending.CANCELLED
        if time.monotonic() > deadline:
            return Ending.TIMED_OUT
        if memory_exceeded():
            return Ending.OUT_OF_MEMORY
        if disk_exceeded():
            return Ending.DISK_FULL
        return None

    return reached


@contextlib.contextmanager
def _exit_of(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """A descriptor that becomes readable when the process has ended."""
    descriptor = os.pidfd_open(process.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise SystemFault(
            "sandbox-stuck", f"A killed command was not gone after {_PATIENCE:.0f} s."
        ) from None
