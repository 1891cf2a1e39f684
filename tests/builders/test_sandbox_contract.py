"""One contract for every runner: what a build sees, and how each abuse ends."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.builders.sandbox.account import hand_over
from bot.builders.sandbox.bubblewrap import Bubblewrap, _Sandbox
from bot.builders.sandbox.container import ContainerRunner
from bot.builders.sandbox.control_group import find_control_groups
from bot.builders.sandbox.process import ProcessRunner
from bot.builders.sandbox.runner import Ending, Overlay, Runner
from tests.builders.sandbox_cases import LIMITS, Trial, living
from tests.programs import require_program

GROUPS = find_control_groups()
NAMES = ["bubblewrap", "bubblewrap without control groups", "process"]
NAMES += ["process without control groups", "container"]


def make_runner(name: str) -> Runner:
    if "without" not in name and GROUPS is None:
        pytest.skip("control groups cannot be made here")
    groups = None if "without" in name else GROUPS
    if name.startswith("process"):
        return ProcessRunner(groups)
    if name == "container":
        return make_container_runner()
    require_program("bwrap")
    return Bubblewrap(groups)


@functools.cache
def make_container_runner() -> Runner:
    require_program("podman")
    # Where the engine's defaults ask for more than this machine lets a process have.
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
    engine = ("podman", "--runtime", "runc")
    return ContainerRunner(engine, create_options=limits, groups=GROUPS)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A build folder that the build account can reach (pytest's own are closed to others)."""
    made = Path(tempfile.mkdtemp(prefix="build-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=NAMES)
def trial(request: pytest.FixtureRequest, folder: Path) -> Trial:
    return Trial(make_runner(request.param), folder)


@pytest.fixture
def confined(trial: Trial) -> Trial:
    if not trial.runner.confines:
        pytest.skip("the process runner does not hide the host")
    return trial


def test_output_of_both_streams_arrives_in_order(trial: Trial) -> None:
    finished = trial.shell("echo one; echo two >&2; echo three")
    assert finished.succeeded
    assert trial.output == "one\ntwo\nthree\n"


def test_output_arrives_while_the_command_runs(trial: Trial) -> None:
    def answer(chunk: bytes) -> None:
        if b"ready" in chunk:
            (trial.folder / "go").touch()

    trial.heard = answer
    assert trial.shell("echo ready; until [ -e go ]; do sleep 0.01; done; echo went").succeeded
    assert trial.output == "ready\nwent\n"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_the_exit_code_is_the_commands_own(trial: Trial, script: str, code: int) -> None:
    finished = trial.shell(script)
    assert (finished.exit_code, finished.ending) == (code, Ending.EXITED)


def test_a_program_that_does_not_exist_is_named(trial: Trial) -> None:
    finished = trial.run("no-such-program")
    assert (finished.ending, finished.succeeded) == (Ending.EXITED, False)
    assert "no-such-program" in trial.output


def test_a_builds_folder_has_the_same_path_in_every_build(trial: Trial) -> None:
    """Where the runner can show folders elsewhere; the others show it where it is."""
    seen = []
    for name in ("bld_1.aaaa", "bld_2.bbbb"):
        root = trial.folder / name
        tree, home = root / "tree", root / "home"
        for made in (tree, home):
            made.mkdir(parents=True)
        ended = trial.run(
            *("/bin/sh", "-c", 'pwd; echo "$HOME"; echo "$1"; ls -d "$1"; : > "$HOME/made"'),
            *("sh", str(tree)),
            folder=tree,
            environment={"HOME": str(home)},
            writable=(tree, home),
            root=root,
        )
        assert ended.succeeded, trial.output
        assert (home / "made").exists()
        assert (str(root) in trial.output) is not trial.runner.confines
        seen.append(trial.output.replace(str(root), "/workspace"))
    tree_inside = "/workspace/tree"
    assert seen == [f"{tree_inside}\n/workspace/home\n{tree_inside}\n{tree_inside}\n"] * 2


def test_a_sandbox_that_takes_long_to_set_up_is_not_held_against_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its /tmp is the machine's own until then, and fuller than any command may fill it."""
    trial = Trial(make_runner("bubblewrap without control groups"), folder)
    release, state_of = _Sandbox.release, os.statvfs
    stopped = threading.Event()

    def go_on(pid: int) -> None:
        stopped.clear()
        os.kill(pid, signal.SIGCONT)

    def slowly(sandbox: _Sandbox) -> None:
        os.kill(sandbox.pid, signal.SIGSTOP)
        stopped.set()
        release(sandbox)
        threading.Timer(0.3, go_on, (sandbox.pid,)).start()

    def of_the_machine(path: str) -> os.statvfs_result:
        return state_of("/" if stopped.is_set() else path)

    monkeypatch.setattr(_Sandbox, "release", slowly)
    monkeypatch.setattr(os, "statvfs", of_the_machine)
    ended = trial.run("true")
    assert ended.succeeded, (ended, trial.output)
    assert ended.seconds > 0.3


def test_whoever_starts_a_command_in_a_group_is_in_its_own_again_afterwards(folder: Path) -> None:
    trial = Trial(make_runner("bubblewrap"), folder)
    own = Path("/proc/thread-self/cgroup").read_text()
    assert trial.run("cat", "/proc/self/cgroup").succeeded
    assert Path("/proc/thread-self/cgroup").read_text() == own
    assert GROUPS is not None
    with GROUPS.make(LIMITS).inherited() as inherited:
        inside = Path("/proc/thread-self/cgroup").read_text()
    assert (inside != own) is inherited
    assert Path("/proc/thread-self/cgroup").read_text() == own


def test_nothing_of_the_bots_environment_is_seen(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "do-not-show")
    assert trial.run("env", environment={"MODE": "production"}).succeeded
    assert "do-not-show" not in trial.output
    names = {line.partition("=")[0] for line in trial.output.splitlines()}
    if trial.runner.name == "container":
        names -= {"HOSTNAME", "TERM", "container"}  # the engine's own
    assert {"MODE", "HOME", "PATH", "TMPDIR", "LANG"} <= names
    assert names <= {"MODE", "HOME", "PATH", "TMPDIR", "LANG", "PWD", "DEPLOYSTACK_COMMAND"}


def test_a_variable_that_steers_the_loader_arrives_and_steers_nothing_of_ours(
    trial: Trial,
) -> None:
    given = {"LD_LIBRARY_PATH": "/nowhere", "TZDIR": "/elsewhere", "TMPDIR": "/tmp"}
    assert trial.run("env", environment=given).succeeded
    for name, value in given.items():
        assert f"{name}={value}\n" in trial.output


def test_standard_input_is_empty(trial: Trial) -> None:
    assert trial.run("cat").succeeded
    assert trial.output == ""


def test_the_folder_is_writable_and_home_and_tmp_too(trial: Trial) -> None:
    script = "pwd; touch made; mkdir -p $HOME; touch $HOME/x $TMPDIR/y"
    assert trial.shell(script).succeeded, trial.output
    assert trial.output == f"{trial.folder}\n"
    assert (trial.folder / "made").exists()


def test_files_that_the_bot_wrote_can_be_changed(trial: Trial) -> None:
    (trial.folder / "deep").mkdir()
    (trial.folder / "deep" / "file").write_text("old")
    assert trial.shell("echo new > deep/file; rm -r deep").succeeded, trial.output


def test_a_build_is_not_root_and_cannot_become_it(trial: Trial) -> None:
    if os.geteuid() != 0 and not trial.runner.confines:
        pytest.skip("needs root, or a sandbox")
    assert trial.shell("id -u; grep NoNewPrivs /proc/self/status").succeeded
    assert trial.output.split() == ["65533", "NoNewPrivs:", "1"]


def test_no_core_dumps_are_written(trial: Trial) -> None:
    assert trial.shell("ulimit -c").succeeded
    assert trial.output == "0\n"


def test_files_of_the_host_are_not_seen(confined: Trial, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do-not-show")
    for path in (secret, "/etc/shadow", "/root/.ssh", "/var/lib/dpkg/status", "/home"):
        assert not confined.run("cat", str(path)).succeeded
        assert "do-not-show" not in confined.output
        assert not confined.run("ls", str(path)).succeeded


def test_only_what_is_given_can_be_read_and_none_of_it_written(
    confined: Trial, tmp_path: Path
) -> None:
    given = tmp_path / "toolchain"
    given.mkdir()
    (given / "tool").write_text("works")
    tmp_path.chmod(0o700)
    assert confined.run("cat", str(given / "tool"), readable=(given,)).succeeded
    assert confined.output == "works"
    script = f"echo x > {given}/tool; touch {given}/new; touch /usr/new /etc/new /new"
    confined.shell(script, readable=(given,))
    assert (given / "tool").read_text() == "works"
    assert sorted(given.iterdir()) == [given / "tool"]
    assert not Path("/usr/new").exists()


def make_overlay(trial: Trial) -> Overlay:
    """`lib` of the build folder, shown from elsewhere; as the installer makes it."""
    if not trial.runner.overlays:
        pytest.skip("this runner has no overlays here")
    place = Path(tempfile.mkdtemp(prefix="overlay-"))
    source, changes, target = place / "source", place / "changes", trial.folder / "lib"
    for folder in (source, source / "deep", changes, changes / "upper", changes / "work", target):
        folder.mkdir()
    (source / "deep" / "file").write_text("kept")
    for folder in (source, changes / "upper", target):
        hand_over(folder)
    return Overlay(source=source, target=target, changes=changes)


def test_an_overlay_is_seen_and_its_source_never_changes(trial: Trial) -> None:
    overlay = make_overlay(trial)
    try:
        script = "cat lib/deep/file; echo new > lib/deep/file; rm -r lib/deep; touch lib/added"
        assert trial.shell(script, overlays=(overlay,)).succeeded, trial.output
        assert trial.output == "kept"
        assert (overlay.source / "deep" / "file").read_text() == "kept"
        assert sorted(overlay.source.iterdir()) == [overlay.source / "deep"]
    finally:
        shutil.rmtree(overlay.source.parent)


def test_the_next_command_sees_what_was_changed_on_an_overlay(trial: Trial) -> None:
    overlay = make_overlay(trial)
    try:
        assert trial.shell("rm lib/deep/file; touch lib/added", overlays=(overlay,)).succeeded
        assert trial.shell("ls lib lib/deep", overlays=(overlay,)).succeeded
        assert trial.output == "lib:\nadded\ndeep\n\nlib/deep:\n"
        assert list((trial.folder / "lib").iterdir()) == []
    finally:
        shutil.rmtree(overlay.source.parent)


def test_no_variable_makes_a_mounting_sandbox_run_something_else(trial: Trial) -> None:
    """What mounts an overlay has root's rights: only the command may obey the variables."""
    overlay = make_overlay(trial)
    bad = trial.folder / "mount"
    bad.write_text("#!/bin/sh\nid -u\n")
    bad.chmod(0o755)
    given = {
        "PATH": f"{trial.folder}:/usr/bin:/bin",
        "ENV": str(bad),
        "BASH_ENV": str(bad),
        "LD_PRELOAD": str(bad),
        "PS4": "$(id -u)",
        "SHELLOPTS": "xtrace",
    }
    try:
        trial.run("/bin/sh", "-c", "id -u", environment=given, overlays=(overlay,))
        lines = [line for line in trial.output.splitlines() if line.isdecimal()]
        assert lines == ["65533"] * len(lines)
        assert lines
    finally:
        shutil.rmtree(overlay.source.parent)


def test_filling_the_disk_through_an_overlay_is_stopped(trial: Trial) -> None:
    overlay = make_overlay(trial)
    script = "i=0; while :; do i=$((i+1)); head -c 4000000 /dev/zero > lib/big$i; done"
    try:
        assert trial.shell(script, overlays=(overlay,)).ending is Ending.DISK_FULL
    finally:
        shutil.rmtree(overlay.source.parent)


def test_the_bots_own_folders_are_not_seen_even_in_usr(folder: Path) -> None:
    require_program("bwrap")
    if os.geteuid() != 0:
        pytest.skip("only root may write to /usr")
    with tempfile.TemporaryDirectory(dir="/usr/local", prefix="deploystack-test-") as hidden:
        Path(hidden, "deploystack.db").write_text("do-not-show")
        os.chmod(hidden, 0o755)
        trial = Trial(Bubblewrap(GROUPS, hidden=(Path(hidden),)), folder)
        trial.shell(f"ls {hidden}; cat {hidden}/*")
        assert "do-not-show" not in trial.output
        assert "deploystack.db" not in trial.output


def test_a_device_node_cannot_be_made(trial: Trial) -> None:
    assert not trial.shell("mknod null c 1 3").succeeded
    assert not (trial.folder / "null").exists()


def test_limits_cannot_be_lifted(trial: Trial) -> None:
    assert not trial.shell("ulimit -c unlimited").succeeded


def test_processes_of_the_host_are_not_seen(confined: Trial) -> None:
    assert confined.shell(f"ls -d /proc/[0-9]* | wc -l; kill -0 {os.getpid()}").exit_code != 0
    assert int(confined.output.split()[0]) < 10


def test_without_network_there_is_none(confined: Trial) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"exec 3<>/dev/tcp/127.0.0.1/{port}"
        assert not confined.run("bash", "-c", script, network=False).succeeded
        if confined.shell("ls -d /sys").exit_code != 0:
            interfaces = confined.run("cat", "/proc/net/dev")
            assert interfaces.succeeded
        assert "eth0" not in confined.output


def test_an_endless_sleep_times_out(trial: Trial) -> None:
    finished = trial.run("sleep", "300", limits={"seconds": 0.4})
    assert finished.ending is Ending.TIMED_OUT
    assert not finished.succeeded
    assert 0.4 <= finished.seconds < 5


def test_ignoring_signals_does_not_help(trial: Trial) -> None:
    script = "trap '' TERM INT HUP; while :; do sleep 0.05; done"
    assert trial.shell(script, {"seconds": 0.4}).ending is Ending.TIMED_OUT


def test_cancelling_ends_the_command_at_once(trial: Trial) -> None:
    trial.heard = lambda _chunk: trial.cancelled.set()
    started = time.monotonic()
    finished = trial.shell("echo started; sleep 300")
    assert finished.ending is Ending.CANCELLED
    assert time.monotonic() - started < 5


def test_an_endless_log_is_cut_and_ends_the_command(trial: Trial) -> None:
    finished = trial.run("yes", "endless")
    assert finished.ending is Ending.LOG_FULL
    assert len(trial.output) == LIMITS.log


def test_a_log_that_is_one_byte_too_long_is_noticed_at_the_end(trial: Trial) -> None:
    assert trial.shell("printf 12345678", {"log": 8}).ending is Ending.EXITED
    assert trial.shell("printf 123456789", {"log": 8}).ending is Ending.LOG_FULL
    assert trial.output == "12345678"


def test_many_processes_that_take_too_much_together_are_out_of_memory(trial: Trial) -> None:
    require_program("perl")
    hog = "perl -e '$held = \"x\" x 60_000_000; sleep 300' &"
    assert trial.shell(" ".join([hog] * 8) + " wait").ending is Ending.OUT_OF_MEMORY


def test_one_process_that_takes_too_much_memory_is_out_of_memory(trial: Trial) -> None:
    script = "const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1))"
    require_program("node")
    finished = trial.run("node", "-e", script)
    assert not finished.succeeded
    assert finished.ending is Ending.OUT_OF_MEMORY


def test_node_and_webassembly_run_within_the_memory_limit(trial: Trial) -> None:
    require_program("node")
    script = "new WebAssembly.Memory({initial: 16, maximum: 65536}); console.log('fits')"
    assert trial.run("node", "-e", script).succeeded, trial.output


def test_filling_the_disk_is_stopped(trial: Trial) -> None:
    script = "i=0; while :; do i=$((i+1)); head -c 4000000 /dev/zero > big$i; done"
    assert trial.shell(script).ending is Ending.DISK_FULL


def test_filling_tmp_is_stopped(trial: Trial) -> None:
    script = (
        "i=0; while :; do i=$((i+1)); head -c 4000000 /dev/zero > $TMPDIR/big$i; sleep 0.01; done"
    )
    assert trial.shell(script).ending is Ending.DISK_FULL


def test_one_file_cannot_outgrow_the_disk(trial: Trial) -> None:
    finished = trial.shell("head -c 40000000 /dev/zero > big")
    assert not finished.succeeded
    assert sum(f.stat().st_size for f in trial.folder.iterdir()) <= LIMITS.disk


def test_a_fork_bomb_is_bounded_and_leaves_nothing(trial: Trial) -> None:
    marker = uuid.uuid4().hex
    script = f"bomb() {{ bomb {marker} | bomb & }}; bomb; sleep 300"
    finished = trial.run("bash", "-c", script, limits={"seconds": 0.6})
    assert not finished.succeeded
    assert living(marker) == []


def test_a_daemon_that_forked_away_is_dead_when_the_command_ends(trial: Trial) -> None:
    marker = uuid.uuid4().hex
    daemon = f"setsid sh -c 'setsid sh -c \"touch up; sleep 300; : {marker}\" & exit' & "
    finished = trial.shell(f"{daemon} until [ -e up ]; do sleep 0.01; done")
    assert finished.succeeded
    assert living(marker) == []


def test_a_daemon_that_forked_away_is_dead_after_a_time_out(trial: Trial) -> None:
    marker = uuid.uuid4().hex
    daemon = f"setsid sh -c 'setsid sh -c \"sleep 300; : {marker}\" & exit' & sleep 300"
    assert trial.shell(daemon, {"seconds": 0.5}).ending is Ending.TIMED_OUT
    assert living(marker) == []


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_build_up(trial: Trial) -> None:
    finished = trial.shell("setsid sleep 300 & echo done")
    assert finished.succeeded
    assert trial.output == "done\n"


def test_an_error_in_the_log_ends_the_command(trial: Trial) -> None:
    marker = uuid.uuid4().hex

    def fail(_chunk: bytes) -> None:
        raise OSError("no room for the log")

    trial.heard = fail
    with pytest.raises(OSError, match="no room"):
        trial.shell(f"echo started; sleep 300; : {marker}")
    assert living(marker) == []


_BOT = """
import sys, threading
from pathlib import Path
from bot.builders.sandbox.runner import Command
from tests.builders.sandbox_cases import LIMITS
from tests.builders.test_sandbox_contract import make_runner
folder = Path(sys.argv[2])
argv = ("/bin/sh", "-c", f"touch up; setsid sleep 300 & sleep 300; : {sys.argv[3]}")
command = Command(argv=argv, folder=folder, writable=(folder,))
make_runner(sys.argv[1]).run(command, LIMITS, lambda _: None, threading.Event())
"""


@pytest.mark.parametrize("name", [n for n in NAMES if n != "container"])
def test_a_bot_that_is_killed_takes_its_commands_with_it(name: str, folder: Path) -> None:
    make_runner(name)
    marker = uuid.uuid4().hex
    bot = subprocess.Popen((sys.executable, "-c", _BOT, name, str(folder), marker))
    try:
        wait_until((folder / "up").exists)
    finally:
        bot.kill()
        bot.wait()
    wait_until(lambda: living(marker) == [])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_several_commands_run_at_once(trial: Trial) -> None:
    trials = [Trial(trial.runner, trial.folder) for _ in range(4)]
    script = "touch $NAME; until [ -e 0 -a -e 1 -a -e 2 -a -e 3 ]; do sleep 0.01; done"
    succeeded: list[bool] = []

    def run(number: int) -> None:
        done = trials[number].shell(script, environment={"NAME": str(number)})
        succeeded.append(done.succeeded)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert succeeded == [True] * 4


def test_no_descriptors_are_left_open(trial: Trial) -> None:
    trial.run("true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        trial.run("true")
    assert len(os.listdir("/proc/self/fd")) == before
