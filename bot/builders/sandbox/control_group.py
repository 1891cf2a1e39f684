"""Kernel control groups, where this process may make them: memory and process limits.

Both hierarchies are known: version 1 with one tree for each controller
(https://docs.kernel.org/admin-guide/cgroup-v1/) and version 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html). Where neither is writable, the
runners fall back to resource limits and to looking at /proc.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from bot.builders.sandbox.runner import Limits

_NAME = "deploystack"
_counter = itertools.count()
_JUST_MADE = 60  # seconds within which a group may not have its process yet


class ControlGroup:
    """One command's group: a folder for memory and one for processes, the same in version 2."""

    def __init__(self, memory: Path, pids: Path, limits: Limits) -> None:
        self.folders = tuple(dict.fromkeys((memory, pids)))
        self._memory, self._pids = memory, pids
        for folder in self.folders:
            folder.mkdir()
        if self._unified:
            (memory / "memory.max").write_text(str(limits.memory))
            with contextlib.suppress(OSError):
                (memory / "memory.swap.max").write_text("0")
                (memory / "memory.oom.group").write_text("1")
        else:
            (memory / "memory.limit_in_bytes").write_text(str(limits.memory))
            with contextlib.suppress(OSError):
                (memory / "memory.memsw.limit_in_bytes").write_text(str(limits.memory))
        (pids / "pids.max").write_text(str(limits.processes))

    @property
    def joins(self) -> tuple[Path, ...]:
        """The files by which a process of one thread puts itself in, by writing 0."""
        return tuple(folder / self._own_thread for folder in self.folders)

    def add(self, pid: int) -> None:
        """Put another process in, which takes some milliseconds (see `inherited`)."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    @contextlib.contextmanager
    def inherited(self) -> Iterator[bool]:
        """What this thread starts in the block is in the group; `False`: it is to be added.

        Only version 1 lets a thread go in by itself. That takes microseconds; to put another
        process in, the kernel waits until all CPUs have come by (an RCU grace period).
        """
        entered = not self._unified and self._enter()
        try:
            yield entered
        finally:
            if entered:
                self._leave()

    def _enter(self) -> bool:
        try:
            for path in self.joins:
                path.write_text("0")
        except OSError:
            self._leave()
            return False
        return True

    def _leave(self) -> None:
        """Back to the bot's own group, which is the one above."""
        for folder in self.folders:
            (folder.parent / self._own_thread).write_text("0")

    @property
    def _own_thread(self) -> str:
        return "cgroup.procs" if self._unified else "tasks"

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed something in here for want of memory."""
        name = "memory.events" if self._unified else "memory.oom_control"
        with contextlib.suppress(OSError):
            for line in (self._memory / name).read_text().splitlines():
                word, _, count = line.partition(" ")
                if word == "oom_kill" and int(count) > 0:
                    return True
        return False

    def kill(self) -> None:
        """End every process in the group, also those that appear meanwhile."""
        if self._unified:
            with contextlib.suppress(OSError):
                (self._pids / "cgroup.kill").write_text("1")
                return
        for pid in self._members():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid != os.getpid():
                    os.kill(pid, signal.SIGKILL)

    def remove(self, patience: float = 2.0) -> None:
        """Kill what is left and take the group away."""
        deadline = time.monotonic() + patience
        for folder in self.folders:
            while True:
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        return
                    self.kill()
                    time.sleep(0.002)

    def _members(self) -> list[int]:
        with contextlib.suppress(OSError):
            return [int(word) for word in self._pids.joinpath("cgroup.procs").read_text().split()]
        return []

    @property
    def _unified(self) -> bool:
        return self._memory == self._pids


class ControlGroups:
    """The places in which this process may make groups."""

    def __init__(self, memory: Path, pids: Path) -> None:
        self._memory, self._pids = memory, pids

    def make(self, limits: Limits) -> ControlGroup:
        # Bots in containers of one machine may have the same number, and share the folder.
        name = f"{_NAME}-{os.getpid()}-{next(_counter)}-{os.urandom(4).hex()}"
        return ControlGroup(self._memory / name, self._pids / name, limits)


def find_control_groups() -> ControlGroups | None:
    """Where groups with both controllers can be made; none where that is not permitted."""
    for memory, pids in _candidates():
        if not (os.access(memory, os.W_OK) and os.access(pids, os.W_OK)):
            continue
        _remove_leftovers(memory, pids)
        groups = ControlGroups(memory, pids)
        generous = Limits(seconds=1, memory=1 << 40, processes=1 << 15, disk=0, log=0)
        try:
            group = groups.make(generous)
        except OSError:
            continue
        group.remove()
        return groups
    return None


def remove_leftovers() -> None:
    """Take away what killed bots left, wherever groups can be made. To be called now and then."""
    for memory, pids in _candidates():
        _remove_leftovers(memory, pids)


def _candidates() -> list[tuple[Path, Path]]:
    mounts = _mounts()
    own = _own_groups()
    found: list[tuple[Path, Path]] = []
    if "memory" in mounts and "pids" in mounts:
        memory = mounts["memory"] / own.get("memory", "/").lstrip("/")
        pids = mounts["pids"] / own.get("pids", "/").lstrip("/")
        found.append((memory, pids))
    if "" in mounts:
        inside = mounts[""] / own.get("", "/").lstrip("/")
        # A group that holds processes cannot hand controllers down, its parent can.
        places = (inside, inside.parent, mounts[""])
        found.extend((place, place) for place in places if place.is_relative_to(mounts[""]))
    return found


def _mounts() -> dict[str, Path]:
    """Controller → mount point; the empty name is version 2's."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        words, kind = before.split(), after.split()
        if kind[0] == "cgroup2":
            found[""] = Path(words[4])
        elif kind[0] == "cgroup":
            for option in kind[2].split(","):
                found.setdefault(option, Path(words[4]))
    return found


def _own_groups() -> dict[str, str]:
    """Controller → this process's group."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _remove_leftovers(*places: Path) -> None:
    """Groups of a bot that was killed; one with living processes cannot be removed.

    A new one may be somebody's whose number nobody has here, and still wait for its process.
    """
    for place in places:
        for folder in place.glob(f"{_NAME}-*"):
            with contextlib.suppress(OSError):
                old = time.time() - folder.stat().st_mtime > _JUST_MADE
                if old and not Path("/proc", folder.name.split("-")[1]).exists():
                    folder.rmdir()
