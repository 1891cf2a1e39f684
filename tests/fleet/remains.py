"""What is left of builds that have ended: processes, control groups, mounts, folders."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.builders.sandbox.control_group import _candidates
from tests.fleet.machines import Machine

_PR_SET_CHILD_SUBREAPER = 36
# Servers that other tests of this run have started and use.
_others: set[int] = set()


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Whatever the machines' processes leave behind becomes a child of this process.

    https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html
    """
    _others.update(_children())
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        _others.clear()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[int]:
    """Processes that this one, by any of its threads, has started."""
    found: set[int] = set()
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, path.read_text().split()))
    return found


def processes(own: Sequence[int]) -> list[str]:
    """Descendants of this process but `own` ones and theirs; the dead are buried meanwhile."""
    _bury(own)
    children: dict[int, list[int]] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            after = (entry / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(after[1]), []).append(int(entry.name))
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            lines[int(entry.name)] = f"{after[0]} {words[:200]}"
    found, queue = [], [os.getpid()]
    while queue:
        for pid in children.get(queue.pop(), []):
            if pid in own or pid in _others:
                continue
            found.append(f"{pid} {lines.get(pid, '?')}")
            queue.append(pid)
    return found


def below(machine: Machine) -> list[str]:
    """What a machine's process has started and not ended."""
    assert machine.process is not None
    found = []
    for task in Path(f"/proc/{machine.process.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in task.read_text().split():
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{machine.name}: {pid} {line.decode(errors='replace')[:200]}")
    return found


def _bury(own: Sequence[int]) -> None:
    """Orphans that are dead already; what the test started itself is for its own starter."""
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for word in path.read_text().split():
                if int(word) not in own:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(int(word), os.WNOHANG)


def control_groups(machines: Sequence[Machine]) -> list[str]:
    """Groups that any process of these machines made. Workers look for them once a minute."""
    pids = {str(pid) for machine in machines for pid in machine.pids}
    return [
        str(folder)
        for places in _candidates()
        for place in dict.fromkeys(places)
        for folder in place.glob("deploystack-*")
        if folder.name.split("-")[1] in pids
    ]


def mounts(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


def folders(machines: Sequence[Machine]) -> list[str]:
    """Work folders, drafts and temporary files."""
    found: list[Path] = []
    for machine in machines:
        data = machine.folder / "data"
        found += (machine.folder / "tmp").glob("*")
        found += (data / "work").glob("*")
        found += (data / "store-cache" / "incoming").glob("*")
        # A mirror and its locks; a checkout's index is given an hour.
        found += (one for one in (data / "mirrors").glob("*/[!.]*") if one.name.find(".git") < 0)
        found += (data / "mirrors").glob("*/*.git.new")
        found += (data / "mirrors").glob("*/*.git.old")
    return [str(path) for path in found]
