"""Commands in containers, by the command line of Docker or Podman.

The image is the operator's (SANDBOX_IMAGE), or an empty one in which the machine's own
programs are shown read-only, as bubblewrap does it; then nothing need be downloaded or
kept up to date. A container is made for one command and removed after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bot.builders.sandbox.account import BUILD_GID, BUILD_UID, hand_over, runs_as_root
from bot.builders.sandbox.container_arguments import (
    Engine,
    Files,
    create,
    environment_file,
    skeleton,
)
from bot.builders.sandbox.control_group import ControlGroup, ControlGroups
from bot.builders.sandbox.network import RESOLV_CONF, PublicNetwork
from bot.builders.sandbox.runner import Command, Ending, Finished, Limits
from bot.builders.sandbox.usage import DiskUse
from bot.builders.sandbox.watch import Transcript, look_at_limits, watch
from bot.errors import SystemFault

_START = Path(__file__).with_name("start.sh")
_PATIENCE = 60  # seconds for one word with the engine
_NAME = "deploystack"
_counter = itertools.count()


class ContainerRunner:
    """A `Runner`. `image` empty: the machine's own programs are shown.

    `engine` is the engine's program with what goes before every verb; empty: the first
    that is there. `create_options` go into the making of every container.

    `groups` and `network` are used with Podman alone, which can hold a container between
    making and starting it; without them its memory and network are the engine's affair.
    """

    name = "container"
    confines = True

    def __init__(
        self,
        engine: tuple[str, ...] = (),
        image: str = "",
        create_options: tuple[str, ...] = (),
        groups: ControlGroups | None = None,
        network: PublicNetwork | None = None,
    ) -> None:
        self._engine = find_engine(engine)
        self._create_options = create_options
        self._image = image or self._skeleton_image()
        self._from_machine = not image
        self.connects = self._engine.podman
        self._groups = groups if self._engine.podman else None
        self.network = network if self._engine.podman else None
        self.overlays = False
        self._remove_leftovers()

    def run(
        self,
        command: Command,
        limits: Limits,
        log: Callable[[bytes], None],
        cancelled: threading.Event,
    ) -> Finished:
        started = time.monotonic()
        name = f"{_NAME}-{os.getpid()}-{next(_counter)}"
        for folder in command.writable:
            hand_over(folder)
        with contextlib.ExitStack() as stack:
            group = self._groups.make(limits) if self._groups else None
            if group is not None:
                stack.callback(group.remove)
            files = self._make(name, command, limits, stack)
            if self._engine.podman:
                self._prepare(name, command, group, stack)
            output, process = self._start(name, stack)
            disk = DiskUse((*command.writable, files.temporary), limits.disk)
            ending = watch(
                process,
                Transcript(output, limits.log, log),
                output,
                kill=lambda: self._kill(name, process),
                limit_reached=look_at_limits(
                    limits,
                    cancelled,
                    memory_exceeded=lambda: group is not None and group.ran_out_of_memory(),
                    disk_exceeded=disk.exceeded,
                ),
            )
            code = process.returncode
            if ending is Ending.EXITED and code != 0 and self._ran_out_of_memory(name):
                ending = Ending.OUT_OF_MEMORY
        return Finished(code if code >= 0 else 128 - code, ending, time.monotonic() - started)

    def _make(
        self, name: str, command: Command, limits: Limits, stack: contextlib.ExitStack
    ) -> Files:
        files, resolver = self._files(command, stack)
        argv = create(
            command,
            limits,
            self._engine,
            files,
            name=name,
            image=self._image,
            from_machine=self._from_machine,
            options=self._create_options,
            resolver=resolver if command.network and self.network else None,
        )
        stack.callback(self._remove, name)
        self._ask(argv)
        return files

    def _prepare(
        self, name: str, command: Command, group: ControlGroup | None, stack: contextlib.ExitStack
    ) -> None:
        """What needs the container's first process, before that becomes the command."""
        self._tell("init", name)
        pid = int(self._tell("inspect", "--format", "{{.State.Pid}}", name))
        if group is not None:
            group.add(pid)
        if command.network and self.network is not None:
            stack.enter_context(self.network.connected(pid))

    def _files(self, command: Command, stack: contextlib.ExitStack) -> tuple[Files, Path]:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploystack-")))
        temporary = place / "tmp"
        (temporary / "home").mkdir(parents=True)
        hand_over(temporary)
        environment, resolver, empty = place / "environment", place / "resolver", place / "empty"
        environment.write_text(environment_file(command))
        resolver.write_bytes(RESOLV_CONF)
        empty.touch()
        for path in (resolver, empty):
            path.chmod(0o644)
        files = Files(start=_START, empty=empty, temporary=temporary, environment=environment)
        return files, resolver

    def _start(self, name: str, stack: contextlib.ExitStack) -> tuple[int, subprocess.Popen[bytes]]:
        output, output_end = os.pipe()
        stack.callback(os.close, output)
        try:
            process = subprocess.Popen(
                self._engine.argv("start", "--attach", name),
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                start_new_session=True,
            )
        finally:
            os.close(output_end)
        return output, process

    def _ran_out_of_memory(self, name: str) -> bool:
        return self._tell("inspect", "--format", "{{.State.OOMKilled}}", name).strip() == "true"

    def _kill(self, name: str, process: subprocess.Popen[bytes]) -> None:
        # The engine's client may be held up by output that nobody reads any more.
        process.kill()
        subprocess.run(
            self._engine.argv("kill", "--signal", "KILL", name),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )

    def _remove(self, name: str) -> None:
        """Also ends whatever is left in it."""
        words = ("--ignore",) if self._engine.podman else ()
        self._tell("rm", "--force", "--volumes", *words, name)

    def _remove_leftovers(self) -> None:
        """Containers of a bot that was killed."""
        listed = self._tell("ps", "--all", "--filter", f"name={_NAME}-", "--format", "{{.Names}}")
        for name in listed.split():
            words = name.split("-")
            if words[0] == _NAME and not Path("/proc", words[1]).exists():
                self._remove(name)

    def _skeleton_image(self) -> str:
        content = skeleton()
        image = f"localhost/deploystack-build:{hashlib.sha256(content).hexdigest()[:16]}"
        try:
            self._tell("image", "inspect", image)
        except SystemFault:
            self._ask(self._engine.argv("import", "-", image), content)
        return image

    def _tell(self, *words: str) -> str:
        return self._ask(self._engine.argv(*words))

    def _ask(self, argv: tuple[str, ...], content: bytes = b"") -> str:
        try:
            done = subprocess.run(
                argv, input=content, capture_output=True, timeout=_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SystemFault("sandbox-failed", f"The container engine hangs: {error}") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise SystemFault("sandbox-failed", f"The container engine refuses: {said}")
        return done.stdout.decode()


def find_engine(engine: tuple[str, ...]) -> Engine:
    """The engine asked for, else Podman or Docker; raises `SystemFault` where none is there."""
    for program in engine[:1] or ("podman", "docker"):
        path = shutil.which(program)
        if path is not None:
            uid, gid = (BUILD_UID, BUILD_GID) if runs_as_root() else (os.getuid(), os.getgid())
            podman = Path(program).name.startswith("podman")
            account = f"{uid}:{gid}"
            return Engine(program=path, podman=podman, account=account, options=engine[1:])
    missing = engine[0] if engine else "Neither Podman nor Docker"
    raise SystemFault("sandbox-missing", f"{missing} is not installed.")
