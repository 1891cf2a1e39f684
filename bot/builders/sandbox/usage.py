"""How much memory a process tree holds, and how much disk some folders fill."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from bot.builders.sandbox.runner import Limits

_PAGE = os.sysconf("SC_PAGE_SIZE")
# A look at every file costs far more than asking a file system how full it is.
_FULL_LOOK = 10.0  # seconds


class DiskUse:
    """Whether folders fill more disk than they may: counted only when that is possible.

    Between counts, the growth of the file systems they lie on is an upper bound,
    unless something else frees space at the same time; so a count is made every ten
    seconds in any case.
    """

    def __init__(self, folders: Sequence[Path], limit: int) -> None:
        self._folders = folders
        self._limit = limit
        self._before: int | None = None
        self._counted = 0
        self._filled = self._file_systems()
        self._looked = time.monotonic()

    def exceeded(self) -> bool:
        grown = self._file_systems() - self._filled
        due = time.monotonic() - self._looked > _FULL_LOOK
        if self._counted + grown <= self._limit and not due:
            return False
        self._filled += grown
        self._counted = sum(disk_of(folder) for folder in self._folders)
        self._looked = time.monotonic()
        return self._counted > self._limit

    def _file_systems(self) -> int:
        seen: dict[int, int] = {}
        for folder in self._folders:
            try:
                device = folder.stat().st_dev
                if device not in seen:
                    state = os.statvfs(folder)
                    seen[device] = (state.f_blocks - state.f_bfree) * state.f_frsize
            except OSError:
                continue
        return sum(seen.values())


def disk_of(folder: Path) -> int:
    """Bytes on disk of everything in a folder, on its own file system; links count once."""
    total = 0
    seen: set[int] = set()
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    state = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif state.st_nlink > 1:
                        if state.st_ino in seen:
                            continue
                        seen.add(state.st_ino)
                    total += state.st_blocks * 512
        except OSError:
            continue  # gone, or closed to us: another look follows
    return total


def data_limit(limits: Limits) -> int:
    """RLIMIT_DATA for one process: stops what grows faster than we look.

    Address space would be the wrong measure: Node reserves far more than it uses.
    """
    return limits.memory + (1 << 30)


def process_limit(limits: Limits, uid: int) -> int:
    """RLIMIT_NPROC where the kernel counts an account's processes, not a command's.

    All that the account runs now is added, and room for other builds that may start:
    a bound against fork bombs, not a measure.
    """
    running = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if entry.stat().st_uid == uid:
                    running += len(os.listdir(f"{entry.path}/task"))
            except OSError:
                continue
    return running + 4 * limits.processes


def memory_of(root: int) -> int:
    """Bytes of anonymous memory held by a process and all its descendants."""
    total = 0
    for pid in descendants(root):
        try:
            words = Path(f"/proc/{pid}/statm").read_text().split()
        except OSError:
            continue
        total += (int(words[1]) - int(words[2])) * _PAGE
    return total


def descendants(root: int) -> list[int]:
    """A process and all processes below it, as far as they can be seen."""
    found = [root]
    for pid in found:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                children = Path(f"/proc/{pid}/task/{thread}/children").read_text()
            except OSError:
                continue
            found.extend(int(word) for word in children.split())
    return found
