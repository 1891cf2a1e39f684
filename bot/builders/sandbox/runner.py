"""The seam between a build and what confines it.

A runner gets one command at a time for a build folder. It gives the command no
environment but `Command.environment`, no writable place but `Command.writable`
(and a private /tmp), and enforces `Limits`. When `run` returns or raises, for
whatever reason, nothing that the command started is alive any more: that is the
contract on which linking a build's output into the store rests. A runner may be
used by several threads at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Ending(StrEnum):
    """Why a command ended."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    LOG_FULL = "log full"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`seconds` of wall time; sizes in bytes; `processes` counts threads too."""

    seconds: float
    memory: int
    processes: int
    disk: int
    log: int


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A read-only folder shown at `target` as if it were writable.

    What the command changes lands in `changes`, which several commands of one build
    share one after the other; `source` stays as it is.
    """

    source: Path
    target: Path
    changes: Path


@dataclass(frozen=True, kw_only=True)
class Command:
    """One program to run: an argv list, never a shell string.

    `folder` is the working folder; `writable` and `readable` are the only places of
    the host that it sees besides the system itself (programs and libraries, read-only).
    PATH, HOME, TMPDIR and LANG are set where `environment` does not.

    `root` is the build's own folder, which a runner that can do so shows at the same path in
    every build (`bot.builders.sandbox.placed`); everything here is said in the host's paths.
    """

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    network: bool = False
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `exit_code` is 128 + signal where a signal ended it."""

    exit_code: int
    ending: Ending
    seconds: float

    @property
    def succeeded(self) -> bool:
        return self.ending is Ending.EXITED and self.exit_code == 0


class Runner(Protocol):
    """`name` is what SANDBOX selects; `confines`: whether a build is kept from the host.

    `overlays`: whether it can show `Command.overlays`; where not, callers copy instead.
    """

    name: str
    confines: bool
    overlays: bool

    def run(
        self,
        command: Command,
        limits: Limits,
        log: Callable[[bytes], None],
        cancelled: threading.Event,
    ) -> Finished:
        """Run to the end, or until a limit or `cancelled` ends it.

        `log` gets standard output and error together, in pieces as they come, from
        the calling thread. Raises `SystemFault` where the confinement cannot be set up.
        """
