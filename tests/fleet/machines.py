"""Machines: each with a data folder, a host name and, where that works, a network of its own.

What they share is on the test's own machine, which they reach by its address on a bridge.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import free_port

ROOT = Path(__file__).parents[2]
_PORT = 8000
_numbers = itertools.count(1)


def wait_for(condition: Callable[[], Any], what: str, seconds: float) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.1)


class Network:
    """A bridge, and a network namespace for each machine; without the right to, nothing."""

    def __init__(self) -> None:
        self.separate = False
        self.host = "127.0.0.1"
        self._made: list[str] = []
        self._held: list[int] = []
        self._bridge = f"ds{os.getpid()}"[:15]
        self._net = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        try:
            self._ip("link", "add", self._bridge, "type", "bridge")
            self._ip("addr", "add", f"{self._net}.1/24", "dev", self._bridge)
            self._ip("link", "set", self._bridge, "up")
            self._join(f"{self._bridge}-trial")
        except (OSError, subprocess.CalledProcessError):
            self.close()
        else:
            self.separate = True
            self.host = f"{self._net}.1"

    def machine(self, name: str) -> tuple[str, tuple[str, ...]]:
        """A machine's address, and what its programs are started by."""
        if not self.separate:
            return self.host, ()
        space = f"{self._bridge}-{name}"
        address = self._join(space)
        # By a descriptor of ours: whatever somebody unmounts, it stays.
        self._held.append(os.open(f"/run/netns/{space}", os.O_RDONLY))
        there = f"/proc/{os.getpid()}/fd/{self._held[-1]}"
        enter = ("nsenter", f"--net={there}", "unshare", "--uts")
        return address, (*enter, "sh", "-c", f'hostname {name}; exec "$@"', "sh")

    def close(self) -> None:
        while self._held:
            os.close(self._held.pop())
        for space in self._made:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                self._ip("netns", "delete", space)
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            self._ip("link", "delete", self._bridge)

    def _join(self, space: str) -> str:
        number = len(self._made) + 2
        outer, address = f"{self._bridge}v{number}"[-15:], f"{self._net}.{number}"
        self._ip("netns", "add", space)
        self._made.append(space)
        self._ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._ip("link", "set", outer, "master", self._bridge, "up")
        self._ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        self._ip("-n", space, "link", "set", "eth0", "up")
        self._ip("-n", space, "link", "set", "lo", "up")
        return address

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(("ip", *arguments), check=True, capture_output=True)


@dataclass
class Machine:
    """One machine and the process that it is for."""

    name: str
    kind: str  # web, worker
    folder: Path
    address: str
    port: int
    environment: dict[str, str]
    enter: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    # Every process that it ever had: what is named after them must be gone in the end.
    pids: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def output(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")

    def start(self) -> None:
        gunicorn = ("gunicorn", "--config", "python:bot.gunicorn_settings", "bot.wsgi:application")
        command = gunicorn if self.kind == "web" else ("bot", "worker")
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                (*self.enter, sys.executable, "-m", *command),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.pids.append(self.process.pid)

    def kill(self) -> None:
        """As a power cut does it: what it held stays as it was."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM; answers the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def works(self) -> bool:
        """Whether it is a worker that takes up builds."""
        assert self.process is not None
        assert self.process.poll() is None, self.output[-3000:]
        return "worker ready" in self.output

    def answers(self) -> bool:
        """Whether it is a web machine that is ready."""
        assert self.process is not None
        assert self.process.poll() is None, self.output[-3000:]
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Fleet:
    """Web and worker machines; `shared` are the settings that make them one bot."""

    def __init__(self, folder: Path, network: Network, shared: Mapping[str, str]) -> None:
        self.folder = folder
        self.machines: list[Machine] = []
        self._network = network
        self._shared = shared
        self._guard = threading.Lock()

    @property
    def webs(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.kind == "web"]

    @property
    def workers(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.kind == "worker"]

    def add(self, kind: str, **settings: str) -> Machine:
        name = f"{kind}-{next(_numbers)}"
        address, enter = self._network.machine(name)
        folder = self.folder / name
        temporary = folder / "tmp"
        temporary.mkdir(parents=True)
        # Builds run under an account of their own, which must reach their folders.
        for path in (folder, temporary):
            path.chmod(0o755)
        port = _PORT if self._network.separate else free_port()
        own = {
            "DATA_DIR": str(folder / "data"),
            "TMPDIR": str(temporary),
            "HOST": address,
            "PORT": str(port),
            "DASHBOARD_PORT": "0",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        machine = Machine(
            name, kind, folder, address, port, {**kept, **self._shared, **own, **settings}, enter
        )
        machine.start()
        self.machines.append(machine)
        return machine

    def ready(self, seconds: float = 120) -> None:
        """Wait until every machine is at work."""
        for machine in self.webs:
            wait_for(machine.answers, f"{machine.name} to answer", seconds)
        for machine in self.workers:
            wait_for(machine.works, f"{machine.name} to be at work", seconds)

    def replace(self, machine: Machine) -> None:
        """Kill -9, and a supervisor that starts it again."""
        with self._guard:
            machine.kill()
            machine.start()

    def revive(self) -> int:
        """Start workers again that have ended by themselves, as any supervisor does.

        One that starts while the database is away ends. Answers how many there were.
        """
        with self._guard:
            ended = [w for w in self.workers if w.process and w.process.poll() is not None]
            for machine in ended:
                machine.start()
            return len(ended)

    def close(self) -> None:
        for machine in self.machines:
            if machine.process is not None and machine.process.poll() is None:
                machine.process.kill()
                machine.process.wait()


@contextlib.contextmanager
def private_network() -> Iterator[Network]:
    network = Network()
    try:
        yield network
    finally:
        network.close()
