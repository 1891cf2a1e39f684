"""The process runner's keeper: starts one command and outlives all that it starts.

Run as a program of its own, by file name, with the standard library alone. It reads
what to do as JSON from standard input, becomes the parent of every orphan below it
(PR_SET_CHILD_SUBREAPER, https://man7.org/linux/man-pages/man2/prctl.2.html), and
when the command ends, or it is told to by SIGTERM, or the bot dies, kills them all
before it exits with the command's own code.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


class _Told(Exception):
    """To end the command now."""


def main() -> int:
    order = json.load(sys.stdin)
    # Whatever happens from here on, nothing below outlives this process. It is held
    # back until a command is there to be killed.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, _tell)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != order["parent"]:
        return 1
    pid = os.fork()
    if pid == 0:
        _become(order)
    code = 128 + signal.SIGKILL
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        code = _code_of(pid)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    except _Told:
        pass
    _kill_all()
    return code


def _become(order: dict[str, Any]) -> NoReturn:
    """Turn this (forked) process into the command."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.setsid()
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        for path in order["joins"]:
            with open(path, "w") as file:
                file.write("0")
        # Before the account changes: the folder may lie where only root can reach.
        os.chdir(order["folder"])
        for name, value in order["limits"].items():
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            if hard == resource.RLIM_INFINITY or hard > value:
                resource.setrlimit(kind, (value, value))
        if order["account"]:
            uid, gid = order["account"]
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        os.umask(0o022)
        os.execvpe(order["argv"][0], order["argv"], order["environment"])  # noqa: S606
    except BaseException as error:
        os.write(2, f"cannot start {order['argv'][0]}: {error}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _code_of(pid: int) -> int:
    """Wait for the command, and meanwhile bury the orphans that come to us."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _kill_all() -> None:
    """Kill until no child is left: the last of a tree becomes ours when its parent dies."""
    while True:
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _descendants() -> list[int]:
    found = [os.getpid()]
    for pid in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as f:
                    found.extend(int(word) for word in f.read().split())
    return found[1:]


def _tell(_signal: int, _frame: object) -> NoReturn:
    raise _Told


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    os._exit(main())
