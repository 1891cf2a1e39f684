"""Running commands in tests of the sandbox, and what they may cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bot.builders.sandbox.runner import Command, Finished, Limits, Runner

LIMITS = Limits(seconds=20, memory=256 << 20, processes=40, disk=32 << 20, log=64 << 10)


@dataclass
class Trial:
    """A runner and a build folder. What the last command wrote is in `output`."""

    runner: Runner
    folder: Path
    output: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    heard: Callable[[bytes], None] = lambda _chunk: None

    def run(self, *argv: str, limits: dict[str, Any] | None = None, **command: Any) -> Finished:
        pieces: list[bytes] = []

        def hear(chunk: bytes) -> None:
            pieces.append(chunk)
            self.heard(chunk)

        asked = Command(
            **{"argv": argv, "folder": self.folder, "writable": (self.folder,)} | command
        )
        try:
            return self.runner.run(asked, replace(LIMITS, **limits or {}), hear, self.cancelled)
        finally:
            self.output = b"".join(pieces).decode(errors="replace")

    def shell(self, script: str, limits: dict[str, Any] | None = None, **command: Any) -> Finished:
        """Tests are written for the shell; the bot itself never is."""
        return self.run("/bin/sh", "-c", script, limits=limits, **command)


def living(marker: str) -> list[str]:
    """Command lines of processes on this machine that hold the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if marker in line:
                found.append(line)
    return found
