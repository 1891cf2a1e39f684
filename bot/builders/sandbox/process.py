"""Commands without a sandbox: limits and a clean end, but the host's files in sight.

The last resort, where neither bubblewrap nor containers work. It keeps the bot's
environment from a build, enforces every limit, and leaves nothing running; it cannot
hide the host's files or close the network. So whoever chooses it should build nothing
but what they trust. A build that runs under the bot's own account (a bot that is not
root) could kill its keeper, and even the bot.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bot.builders.sandbox.account import BUILD_GID, BUILD_UID, hand_over, runs_as_root
from bot.builders.sandbox.control_group import ControlGroup, ControlGroups
from bot.builders.sandbox.runner import Command, Finished, Limits
from bot.builders.sandbox.usage import DiskUse, data_limit, memory_of, process_limit
from bot.builders.sandbox.watch import Transcript, look_at_limits, watch
from bot.errors import SystemFault

_KEEPER = Path(__file__).with_name("keeper.py")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Carried by every process of a command, to find them by where their keeper was killed.
_MARK = "DEPLOYSTACK_COMMAND"


class ProcessRunner:
    """A `Runner`. `groups` are the control groups it may make, if any."""

    name = "process"
    confines = False
    overlays = False

    def __init__(self, groups: ControlGroups | None) -> None:
        self._groups = groups

    def run(
        self,
        command: Command,
        limits: Limits,
        log: Callable[[bytes], None],
        cancelled: threading.Event,
    ) -> Finished:
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            temporary = _temporary_folder(stack)
            for folder in command.writable:
                hand_over(folder)
            if runs_as_root():
                _assure_reachable(command.folder)
            group = self._groups.make(limits) if self._groups else None
            if group is not None:
                stack.callback(group.remove)
            mark = secrets.token_hex(16)
            output, output_end = os.pipe()
            stack.callback(os.close, output)
            try:
                order = _order(command, limits, temporary, group, mark)
                process = _start_keeper(order, output_end)
            finally:
                os.close(output_end)
            stack.callback(_end, process, mark)
            disk = DiskUse((*command.writable, temporary), limits.disk)
            ending = watch(
                process,
                Transcript(output, limits.log, log),
                output,
                kill=process.terminate,
                limit_reached=look_at_limits(
                    limits,
                    cancelled,
                    memory_exceeded=lambda: (
                        group.ran_out_of_memory()
                        if group is not None
                        else memory_of(process.pid) > limits.memory
                    ),
                    disk_exceeded=disk.exceeded,
                ),
            )
            code = process.returncode
        return Finished(code if code >= 0 else 128 - code, ending, time.monotonic() - started)


def _order(
    command: Command, limits: Limits, temporary: Path, group: ControlGroup | None, mark: str
) -> dict[str, Any]:
    """What the keeper is to do."""
    defaults = {
        "HOME": f"{temporary}/home",
        "LANG": "C.UTF-8",
        "PATH": _PATH,
        "TMPDIR": str(temporary),
    }
    bounds = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": limits.disk}
    if group is None:
        uid = BUILD_UID if runs_as_root() else os.getuid()
        bounds["RLIMIT_DATA"] = data_limit(limits)
        bounds["RLIMIT_NPROC"] = process_limit(limits, uid)
    return {
        "parent": os.getpid(),
        "argv": command.argv,
        "folder": str(command.folder),
        "environment": {**defaults, **command.environment, _MARK: mark},
        "limits": bounds,
        "account": (BUILD_UID, BUILD_GID) if runs_as_root() else None,
        "joins": [str(path) for path in group.joins] if group is not None else [],
    }


def _start_keeper(order: Mapping[str, Any], output: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        (sys.executable, "-I", "-S", str(_KEEPER)),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env={},
        cwd="/",
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 (a pipe)
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(order).encode())
    return process


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Make sure of the end, also where the command has killed its keeper."""
    if process.poll() is None:
        process.terminate()
        process.wait()
    if process.returncode < 0:
        while found := _marked(mark):
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)


def _marked(mark: str) -> list[int]:
    """Living processes that carry the mark in their environment."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def _temporary_folder(stack: contextlib.ExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="deploystack-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    (folder / "home").mkdir()
    hand_over(folder)
    return folder


def _assure_reachable(folder: Path) -> None:
    """The build account must be able to walk down to its folder."""
    for parent in folder.resolve().parents:
        state = parent.stat()
        if state.st_mode & 0o001 or (state.st_uid == BUILD_UID and state.st_mode & 0o100):
            continue
        raise SystemFault(
            "work-folder-unreachable",
            f"Builds run under an account of their own, which may not enter {parent}.",
            "Set WORK_DIR to a folder that all may enter, such as /var/lib/deploystack/work.",
        )
