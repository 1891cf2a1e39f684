"""What a sandboxed command with a network can reach."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.builders.sandbox.bubblewrap import Bubblewrap
from bot.builders.sandbox.network import PublicNetwork, own_addresses, routes
from bot.builders.sandbox.select import select_runner
from bot.errors import InvalidSetting, SystemFault
from bot.settings import Settings
from tests.builders.sandbox_cases import Trial
from tests.programs import require_program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="build-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def connect(folder: Path) -> Callable[..., Trial]:
    for program in ("bwrap", "slirp4netns", "ip", "bash"):
        require_program(program)

    def make(*allowed: str) -> Trial:
        return Trial(Bubblewrap(None, network=PublicNetwork(allowed)), folder)

    return make


@pytest.fixture
def server() -> Iterator[int]:
    """A port of this machine, open on all its addresses, as the bot's own may be."""
    with socket.create_server(("0.0.0.0", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"reached\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def own_address() -> str:
    found = own_addresses()
    if not found:
        pytest.skip("this machine has no address but its loopback's")
    return found[0]


def ask(address: str, port: int) -> tuple[str, ...]:
    return ("bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}; cat <&3")


def test_this_machines_own_ports_are_closed(connect: Callable[..., Trial], server: int) -> None:
    trial = connect()
    for address in (*own_addresses(), "127.0.0.1", "10.0.2.2", "localhost"):
        assert not trial.run(*ask(address, server), network=True).succeeded
        assert "reached" not in trial.output


def test_an_allowed_network_is_reached(connect: Callable[..., Trial], server: int) -> None:
    address = own_address()
    trial = connect(f"{address}/32")
    assert trial.run(*ask(address, server), network=True).succeeded, trial.output
    assert trial.output == "reached\n"


@pytest.mark.parametrize("address", ["169.254.169.254", "10.1.2.3", "192.168.1.1", "172.17.0.1"])
def test_private_and_metadata_addresses_have_no_route(
    connect: Callable[..., Trial], address: str
) -> None:
    trial = connect()
    assert not trial.run(*ask(address, 80), network=True, limits={"seconds": 5}).succeeded
    assert "unreachable" in trial.output.lower() or "no route" in trial.output.lower()


def test_public_addresses_have_a_route(connect: Callable[..., Trial]) -> None:
    trial = connect()
    assert trial.run("ip", "route", "get", "1.1.1.1", network=True).succeeded
    assert "via 10.0.2.2" in trial.output


def test_a_build_cannot_open_what_is_closed(connect: Callable[..., Trial]) -> None:
    trial = connect()
    for words in ("del unreachable 10.0.0.0/8", "add 10.9.0.0/16 via 10.0.2.2"):
        assert not trial.shell(f"ip route {words}", network=True).succeeded
        assert "not permitted" in trial.output


def test_a_command_without_network_gets_none(connect: Callable[..., Trial]) -> None:
    trial = connect()
    assert trial.run("cat", "/proc/net/route", network=False).succeeded
    assert len(trial.output.splitlines()) <= 1


def test_a_network_is_connected_only_when_bubblewrap_is_done_with_it(folder: Path) -> None:
    """Else it finds its own address taken, and gives up (`Failed RTM_NEWADDR`)."""
    require_program("bwrap")
    seen: list[bool] = []

    class Looking(PublicNetwork):
        def __init__(self) -> None:
            pass

        @contextlib.contextmanager
        def connected(self, pid: int) -> Iterator[None]:
            seen.append("127.0.0.1" in Path(f"/proc/{pid}/net/fib_trie").read_text())
            yield

    trial = Trial(Bubblewrap(None, network=Looking()), folder)
    for _ in range(10):
        assert trial.run("true", network=True).succeeded, trial.output
    assert seen == [True] * 10


def test_where_the_sandbox_is_gone_its_own_words_are_told(folder: Path) -> None:
    require_program("bwrap")

    class Late(PublicNetwork):
        def __init__(self) -> None:
            pass

        @contextlib.contextmanager
        def connected(self, pid: int) -> Iterator[None]:
            os.kill(pid, signal.SIGKILL)
            raise SystemFault("sandbox-failed", f"cannot open /proc/{pid}/ns/net")
            yield

    trial = Trial(Bubblewrap(None, network=Late()), folder)
    with pytest.raises(SystemFault, match="could not be made"):
        trial.run("true", network=True)


_SIDE_BY_SIDE = """
import sys, threading
from pathlib import Path
from bot.builders.sandbox.bubblewrap import Bubblewrap
from bot.builders.sandbox.control_group import find_control_groups
from bot.builders.sandbox.network import PublicNetwork
from tests.builders.sandbox_cases import Trial

def work(folder, failures):
    trial = Trial(Bubblewrap(find_control_groups(), network=PublicNetwork()), folder)
    for _ in range(8):
        try:
            if not trial.run("ip", "route", "get", "1.1.1.1", network=True).succeeded:
                failures.append(trial.output)
        except Exception as error:
            failures.append(repr(error))

failures = []
threads = [threading.Thread(target=work, args=(Path(name), failures)) for name in sys.argv[1:]]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(failures)
"""


def test_bots_side_by_side_do_not_disturb_each_other(folder: Path) -> None:
    for program in ("bwrap", "slirp4netns", "ip"):
        require_program(program)
    bots = []
    for bot in ("one", "other"):
        folders = [folder / f"{bot}-{number}" for number in range(2)]
        for made in folders:
            made.mkdir()
        argv = (sys.executable, "-c", _SIDE_BY_SIDE, *map(str, folders))
        bots.append(
            subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
            )
        )
    assert [bot.communicate(timeout=120)[0].strip() for bot in bots] == ["[]", "[]"]


def test_the_forwarder_ends_with_the_command(connect: Callable[..., Trial]) -> None:
    def forwarders() -> int:
        listed = subprocess.run(
            ("pgrep", "-c", "-P", str(os.getpid()), "slirp4netns"),
            capture_output=True,
            text=True,
            check=False,
        )
        return int(listed.stdout)

    trial = connect()
    seen: list[int] = []
    trial.heard = lambda _chunk: seen.append(forwarders())
    assert trial.shell("echo started", network=True).succeeded
    assert (seen, forwarders()) == ([1], 0)


def test_the_machines_own_mounts_stay(connect: Callable[..., Trial], tmp_path: Path) -> None:
    """Such as the network namespaces below /run/netns, which are shared mounts."""
    shared, inner = tmp_path, tmp_path / "inner"
    inner.mkdir()

    def mounted() -> bool:
        return str(inner) in Path("/proc/self/mountinfo").read_text()

    try:
        for command in (
            ("mount", "--bind", str(shared), str(shared)),
            ("mount", "--make-shared", str(shared)),
            ("mount", "--bind", str(inner), str(inner)),
        ):
            subprocess.run(command, check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("mounting is not permitted here")
    try:
        assert connect().shell("echo started", network=True).succeeded
        assert mounted()
    finally:
        subprocess.run(("umount", "--recursive", str(shared)), check=False)


def test_the_narrower_network_wins() -> None:
    closed, opened = routes(("10.1.0.0/16",), ("192.0.2.7",))
    said = closed.splitlines()
    assert "route replace unreachable 10.0.0.0/8" in said
    assert "route replace unreachable 169.254.0.0/16" in said
    assert "route replace unreachable 192.0.2.7/32" in said
    assert opened == "route replace 10.1.0.0/16 via 10.0.2.2\n"


def test_what_is_allowed_as_a_whole_is_not_closed() -> None:
    said, _ = routes(("10.0.0.0/8", "192.0.2.7/32"), ("192.0.2.7",))
    assert "unreachable 10.0.0.0/8" not in said
    assert "unreachable 192.0.2.7/32" not in said


def test_own_addresses_are_read_from_the_routing_trie(tmp_path: Path) -> None:
    trie = tmp_path / "fib_trie"
    trie.write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n"
        "     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n"
        "        /32 link BROADCAST\n"
    )
    assert own_addresses(trie) == ("192.0.2.2",)


def test_where_a_closed_network_is_insisted_on_its_lack_is_an_error(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_program("bwrap")
    find = shutil.which

    def which(name: str, **given: str) -> str | None:
        return None if name == "slirp4netns" else find(name, **given)

    monkeypatch.setattr(shutil, "which", which)
    runner = select_runner(make_settings())
    assert isinstance(runner, Bubblewrap)
    assert runner.network is None
    with pytest.raises(SystemFault, match="slirp4netns"):
        select_runner(make_settings(SANDBOX_NETWORK="public"))


def test_a_network_that_is_none_is_refused(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(InvalidSetting, match="SANDBOX_ALLOWED_NETWORKS"):
        make_settings(SANDBOX_ALLOWED_NETWORKS="10.0.0.1/8")
