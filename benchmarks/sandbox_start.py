"""What the sandbox adds to a command: `true`, by itself, in plain bubblewrap, and in ours.

    python -m benchmarks.sandbox_start [--rounds 60] [--realtime]

Ours does more than plain bubblewrap: another account, a control group, a network without private
addresses. Runs are spaced as builds are: what the kernel tidies up after one sandbox does not
wait for the next. `--realtime` (root alone) keeps other programs of a busy machine out of the
figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bot.builders.sandbox.bubblewrap import Bubblewrap
from bot.builders.sandbox.control_group import ControlGroups, find_control_groups
from bot.builders.sandbox.network import PublicNetwork
from bot.builders.sandbox.runner import Command, Limits

_LIMITS = Limits(seconds=30, memory=256 << 20, processes=64, disk=32 << 20, log=1 << 16)
_PAUSE = 0.08  # seconds
_PLAIN = (
    *("bwrap", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin"),
    *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
    *("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--proc", "/proc", "--dev", "/dev"),
    *("--tmpfs", "/tmp", "true"),
)


def _ours(
    folder: Path, groups: ControlGroups | None, network: PublicNetwork | None
) -> Callable[[], None]:
    runner = Bubblewrap(groups, network=network)
    command = Command(
        argv=("true",), folder=folder, writable=(folder,), network=network is not None
    )

    def run() -> None:
        assert runner.run(command, _LIMITS, lambda _chunk: None, threading.Event()).succeeded

    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--realtime", action="store_true")
    given = parser.parse_args()
    if given.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    folder = Path(tempfile.mkdtemp(prefix="build-"))
    folder.chmod(0o755)
    groups = find_control_groups()
    cases: dict[str, Callable[[], None]] = {
        "no sandbox": lambda: subprocess.run(("true",), check=True) and None,
        "plain bubblewrap": lambda: subprocess.run(_PLAIN, check=True) and None,
        "ours": _ours(folder, None, None),
        "ours, control group": _ours(folder, groups, None),
        "ours, control group, network": _ours(folder, groups, PublicNetwork()),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(given.rounds):
        for name, run in cases.items():
            time.sleep(_PAUSE)
            started = time.perf_counter()
            run()
            taken[name].append((time.perf_counter() - started) * 1000)
    print("| ms | median | smallest |\n|---|---|---|")
    for name, times in taken.items():
        print(f"| {name} | {statistics.median(times):.1f} | {min(times):.1f} |")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
