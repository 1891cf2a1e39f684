"""Commands in a bubblewrap sandbox: own mounts, processes, users, and network or none.

The command sees the system's programs and libraries read-only, its own folders, and a
private /tmp, /dev and /proc. All of it lives in one PID namespace, whose end the kernel
makes the end of everything inside, however often it forked away.

A bot that runs as root sets the sandbox up with root's rights (so that the data
folder may lie where others cannot reach) and starts the command under the build
account; any other bot uses a user namespace. https://github.com/containers/bubblewrap
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bot.builders.sandbox import bubblewrap_arguments
from bot.builders.sandbox.account import BUILD_UID, hand_over, runs_as_root
from bot.builders.sandbox.control_group import ControlGroup, ControlGroups
from bot.builders.sandbox.network import RESOLV_CONF, PublicNetwork
from bot.builders.sandbox.runner import Command, Ending, Finished, Limits
from bot.builders.sandbox.usage import DiskUse, data_limit, memory_of, process_limit
from bot.builders.sandbox.watch import Transcript, look_at_limits, watch
from bot.errors import SystemFault

_MOUNT = Path(__file__).with_name("mount_overlays.sh")
_PATIENCE = 10.0  # seconds for the set-up of a sandbox's network
_LOOK = 0.0005  # seconds between looks at it
_SOON = 0.5  # seconds within which bubblewrap notices that its sandbox has ended


class Bubblewrap:
    """A `Runner`. `groups` are the control groups it may make, if any.

    `hidden` are folders of the bot that no build may see. `network` connects commands that
    have one; None: they share the machine's. Raises `SystemFault` where a
    program is missing.
    """

    name = "bubblewrap"
    confines = True
    connects = True

    def __init__(
        self,
        groups: ControlGroups | None,
        hidden: tuple[Path, ...] = (),
        network: PublicNetwork | None = None,
    ) -> None:
        self._groups = groups
        self.network = network
        self._hidden = hidden
        self._bwrap = _find("bwrap", "bubblewrap")
        self._setpriv = _find("setpriv", "util-linux") if runs_as_root() else None
        self._env = _find("env", "coreutils")
        # Since 0.11 bubblewrap mounts overlays itself; before, root's own sandbox can.
        self._mounts = not _knows_overlays(self._bwrap)
        self.overlays = self._setpriv is not None or not self._mounts

    def run(
        self,
        command: Command,
        limits: Limits,
        log: Callable[[bytes], None],
        cancelled: threading.Event,
    ) -> Finished:
        started = time.monotonic()
        for folder in command.writable:
            hand_over(folder)
        with contextlib.ExitStack() as stack:
            group = self._groups.make(limits) if self._groups else None
            if group is not None:
                stack.callback(group.remove)
            sandbox = _Sandbox(stack)
            argv = self._argv(command, limits, sandbox)
            with group.inherited() if group else contextlib.nullcontext(False) as inherited:
                sandbox.start(argv)
            if group is not None and not inherited:
                sandbox.join(group)
            sandbox.limit(limits, grouped=group is not None)
            if command.network and self.network is not None:
                sandbox.await_network()
                with sandbox.telling_why():
                    stack.enter_context(self.network.connected(sandbox.pid))
            sandbox.release()
            ending = watch(
                sandbox.process,
                Transcript(sandbox.output, limits.log, log),
                sandbox.output,
                kill=sandbox.kill,
                limit_reached=_check(sandbox, command, limits, cancelled, group),
            )
            code = sandbox.process.returncode
            if ending is Ending.EXITED and code != 0:
                sandbox.assure_set_up()
        return Finished(code if code >= 0 else 128 - code, ending, time.monotonic() - started)

    def _argv(self, command: Command, limits: Limits, sandbox: _Sandbox) -> tuple[str, ...]:
        options = bubblewrap_arguments.options(
            command,
            privileged=self._setpriv is not None,
            tmp_size=_tmp_limit(limits),
            passwd=sandbox.hand_in(bubblewrap_arguments.PASSWD),
            group=sandbox.hand_in(bubblewrap_arguments.GROUP),
            empty=tuple(sandbox.hand_in(b"") for _ in bubblewrap_arguments.HIDDEN_FILES),
            mount=sandbox.hand_in(_MOUNT.read_bytes()) if self._mounts else None,
            resolver=(sandbox.hand_in(RESOLV_CONF) if command.network and self.network else None),
            hidden=self._hidden,
            copies=self._copies(sandbox),
        )
        arguments = sandbox.hand_in(b"".join(word.encode() + b"\0" for word in options))
        return (
            *(self._bwrap, "--args", str(arguments), *sandbox.channels, "--"),
            *bubblewrap_arguments.program(
                command, setpriv=self._setpriv, env=self._env, mounts=self._mounts
            ),
        )

    def _copies(self, sandbox: _Sandbox) -> dict[str, int]:
        """Only where bubblewrap is root, whose files a build cannot write to."""
        if self._setpriv is None:
            return {}
        found = bubblewrap_arguments.copied_files()
        return {path: sandbox.hand_in(content) for path, content in found.items()}


class _Sandbox:
    """One bubblewrap process, the first process inside it, and the pipes to them.

    All that it opens is closed, and all that it started is dead, when `stack` ends.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._open: set[int] = set()
        self._inherited: list[int] = []
        stack.callback(self._close_all)
        self.output, self._output_end = self._pipe()
        self._told, self._tell = self._pipe()
        self._wait, self._go = self._pipe()
        self._inherited += (self._tell, self._wait)
        self.channels = ("--info-fd", str(self._tell), "--block-fd", str(self._wait))
        self.pid = 0
        self._inner: int | None = None

    def hand_in(self, content: bytes) -> int:
        """A descriptor from which bubblewrap can read `content`."""
        descriptor = os.memfd_create("sandbox")
        self._open.add(descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self._inherited.append(descriptor)
        return descriptor

    def start(self, argv: tuple[str, ...]) -> None:
        """Have everything set up, up to the command, which waits for `release`."""
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=self._output_end,
            stderr=self._output_end,
            env={},
            pass_fds=self._inherited,
            start_new_session=True,
        )
        self._stack.callback(self._end)
        for descriptor in (self._output_end, *self._inherited):
            self._open.remove(descriptor)
            os.close(descriptor)
        self.pid = self._read_pid()
        self._inner = os.pidfd_open(self.pid)
        self._open.add(self._inner)

    def join(self, group: ControlGroup) -> None:
        with contextlib.suppress(ProcessLookupError):  # the set-up failed: see `assure_set_up`
            group.add(self.pid)

    def limit(self, limits: Limits, *, grouped: bool) -> None:
        """Put limits on the first process inside; all others inherit them."""
        try:
            if not grouped:
                _lower(self.pid, resource.RLIMIT_DATA, data_limit(limits))
                own_count = not runs_as_root()  # a user namespace counts for itself
                most = limits.processes if own_count else process_limit(limits, BUILD_UID)
                _lower(self.pid, resource.RLIMIT_NPROC, most)
            _lower(self.pid, resource.RLIMIT_CORE, 0)
            _lower(self.pid, resource.RLIMIT_FSIZE, limits.disk)
        except ProcessLookupError:
            pass  # the set-up failed: `assure_set_up` tells why

    def await_network(self) -> None:
        """Wait until bubblewrap is done with a network of its own, and with whose it is.

        Whoever connects the network brings its loopback device up, and the kernel gives it an
        address then. Bubblewrap gives it the same one, and fails where it is second ("Failed
        RTM_NEWADDR"): the busier the machine, the more often it was.
        https://github.com/torvalds/linux/blob/v6.12/net/ipv4/devinet.c (`inetdev_event`)
        In a user namespace nobody is root, and may set routes, before it has its map of ids,
        which comes next. Raises `SystemFault`.
        """
        deadline = time.monotonic() + _PATIENCE
        while not self._has_network():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise self._failure()
            time.sleep(_LOOK)

    @contextlib.contextmanager
    def telling_why(self) -> Iterator[None]:
        """Where something fails since the sandbox is gone, bubblewrap knows the reason."""
        try:
            yield
        except SystemFault:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_SOON)
                raise self._failure() from None
            raise

    def release(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, b"\n")

    def assure_set_up(self) -> None:
        """Raises `SystemFault` where the command was never started."""
        if not self._is_set_up():
            raise SystemFault("sandbox-failed", "The sandbox could not be set up; see the log.")

    def _is_set_up(self) -> bool:
        """Bubblewrap takes the word to go as the last thing of its set-up."""
        left = array.array("i", [0])
        fcntl.ioctl(self._go, termios.FIONREAD, left)
        return not left[0]

    def kill(self) -> None:
        """End the PID namespace, and bubblewrap with it."""
        if self._inner is None:
            self.process.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._inner, signal.SIGKILL)

    def tmp_size(self) -> int:
        """Bytes in the private /tmp; before there is one, that path is still the machine's."""
        if not self._is_set_up():
            return 0
        try:
            state = os.statvfs(f"/proc/{self.pid}/root/tmp")
        except OSError:
            return 0
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def _pipe(self) -> tuple[int, int]:
        ours = os.pipe()
        self._open.update(ours)
        return ours

    def _close_all(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def _read_pid(self) -> int:
        text = b""
        while chunk := os.read(self._told, 4096):
            text += chunk
            with contextlib.suppress(ValueError):
                return int(json.loads(text)["child-pid"])
        raise self._failure()

    def _has_network(self) -> bool:
        process = Path(f"/proc/{self.pid}")
        try:
            routes = (process / "net" / "fib_trie").read_bytes()
            return b"127.0.0.1" in routes and bool((process / "uid_map").read_bytes())
        except OSError:  # it is gone
            return False

    def _failure(self) -> SystemFault:
        """Why there is no sandbox, in bubblewrap's own words."""
        os.set_blocking(self.output, False)
        said = b""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self.output, 4096)
        words = said.decode(errors="replace").strip()
        return SystemFault("sandbox-failed", f"The sandbox could not be made: {words}")

    def _end(self) -> None:
        """Bubblewrap answers as soon as the command has: what it left behind may still live."""
        self.kill()
        self.process.wait()
        if self._inner is not None:
            # Readable once the namespace's first process is dead, and with it all others.
            waiting = select.poll()
            waiting.register(self._inner, select.POLLIN)
            waiting.poll()


def _check(
    sandbox: _Sandbox,
    command: Command,
    limits: Limits,
    cancelled: threading.Event,
    group: ControlGroup | None,
) -> Callable[[], Ending | None]:
    changes = tuple(overlay.changes for overlay in command.overlays)
    disk = DiskUse((*command.writable, *changes), limits.disk)
    # Of the private /tmp, one page is left free where a program filled it.
    tmp_full = _tmp_limit(limits) - resource.getpagesize()
    return look_at_limits(
        limits,
        cancelled,
        memory_exceeded=lambda: (
            group.ran_out_of_memory()
            if group is not None
            else memory_of(sandbox.pid) + sandbox.tmp_size() > limits.memory
        ),
        disk_exceeded=lambda: sandbox.tmp_size() >= tmp_full or disk.exceeded(),
    )


def _tmp_limit(limits: Limits) -> int:
    """The private /tmp lies in memory, so it is bounded by both."""
    return min(limits.disk, limits.memory)


def _lower(pid: int, kind: int, value: int) -> None:
    _, hard = resource.prlimit(pid, kind)
    if hard == resource.RLIM_INFINITY or hard > value:
        resource.prlimit(pid, kind, (value, value))


def _knows_overlays(bwrap: str) -> bool:
    said = subprocess.run((bwrap, "--help"), capture_output=True, text=True, check=False)
    return "--overlay-src" in said.stdout + said.stderr


def _find(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SystemFault("sandbox-missing", f"{name} is not installed.", f"Install {package}.")
    return path
