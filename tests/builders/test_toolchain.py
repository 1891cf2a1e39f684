"""Getting Node and package managers, from the machine, from what is kept, or fetched."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bot.builders.node import Nodes
from bot.builders.plan import Plan
from bot.builders.toolchain import Toolchains
from bot.builders.toolchain_store import ToolchainStore
from bot.errors import SystemFault, UserError
from tests.programs import require_program


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def write(self, output: bytes) -> None:
        raise AssertionError(output)


@pytest.fixture
def log() -> Log:
    return Log()


def make_program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def store(tmp_path: Path) -> ToolchainStore:
    """A machine that has Node 20 of its own, and where 22 was fetched before."""
    programs = tmp_path / "nodes" / "bin"
    make_program(programs, "node", "echo v20.20.2")
    make_program(programs, "npm", "echo 10.0.0")
    (tmp_path / "toolchains" / "node-22.3.0").mkdir(parents=True)
    return ToolchainStore(tmp_path / "toolchains", {"PATH": str(programs)})


@pytest.fixture
def nodes(store: ToolchainStore) -> Nodes:
    found = Nodes(store)
    found._offered = ["20.18.0", "22.20.0", "24.19.0"]
    return found


def test_the_machines_own_node_serves_where_it_satisfies(
    nodes: Nodes, tmp_path: Path, log: Log
) -> None:
    node = nodes.choose(">=18", log)
    assert node.version == "20.20.2"
    assert node.path_entries[0] == tmp_path / "nodes" / "bin"
    assert node.readable[0] == tmp_path / "nodes"


def test_a_node_that_was_fetched_before_is_taken_without_asking_anybody(
    nodes: Nodes, tmp_path: Path, log: Log
) -> None:
    nodes._offered = None
    node = nodes.choose("22", log)
    assert node.version == "22.3.0"
    assert node.readable == (tmp_path / "toolchains" / "node-22.3.0",)


def test_an_exact_version_gives_way_to_the_nearest_of_its_major(nodes: Nodes, log: Log) -> None:
    assert nodes.choose("20.11.1", log).version == "20.20.2"
    assert log.lines == ["Node 20.11.1 cannot be had here; taking 20.20.2"]


def test_what_is_no_version_is_told_and_any_is_taken(nodes: Nodes, log: Log) -> None:
    assert nodes.choose("whatever", log).version == "20.20.2"
    assert log.lines == ["Not a version of Node: 'whatever'; taking any"]


def test_a_version_that_cannot_be_had_says_which_can(nodes: Nodes, log: Log) -> None:
    with pytest.raises(UserError) as caught:
        nodes.choose("14", log)
    assert caught.value.code == "node-version-unavailable"
    assert "20, 22, 24" in caught.value.hint


def test_a_machine_without_node_is_no_error_until_none_can_be_had(tmp_path: Path, log: Log) -> None:
    nodes = Nodes(ToolchainStore(tmp_path / "toolchains", {"PATH": str(tmp_path)}))
    nodes._offered = []
    with pytest.raises(UserError):
        nodes.choose("", log)


def test_an_index_that_cannot_be_reached_is_our_fault(tmp_path: Path, log: Log) -> None:
    environ = {"PATH": str(tmp_path), "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    environ |= {"PIP_RETRIES": "1", "PIP_TIMEOUT": "1", "PIP_CONFIG_FILE": os.devnull}
    nodes = Nodes(ToolchainStore(tmp_path / "toolchains", environ))
    with pytest.raises(SystemFault) as caught:
        nodes.choose("22", log)
    assert caught.value.code == "node-index-unreachable"


def test_a_folder_is_made_once_however_many_want_it(store: ToolchainStore) -> None:
    made: list[Path] = []
    together = threading.Barrier(4)

    def make(draft: Path) -> None:
        made.append(draft)
        (draft / "tool").touch()

    def want() -> None:
        together.wait(10)
        assert (store.make_once("tool-1", make) / "tool").exists()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_folder_that_could_not_be_made_is_not_there(store: ToolchainStore) -> None:
    def fail(draft: Path) -> None:
        (draft / "half").touch()
        raise SystemFault("x", "y")

    with pytest.raises(SystemFault):
        store.make_once("tool-1", fail)
    assert [p.name for p in store.root.iterdir() if not p.name.startswith(".")] == ["node-22.3.0"]


def test_fetching_sees_none_of_the_bots_secrets(tmp_path: Path) -> None:
    environ = {"GITHUB_TOKEN": "x", "DATABASE_URL": "x", "HTTPS_PROXY": "p", "PATH": "/usr/bin"}
    said = ToolchainStore(tmp_path / "toolchains", environ).run(("env",), "code")
    assert "HTTPS_PROXY=p" in said
    assert "GITHUB_TOKEN" not in said
    assert "DATABASE_URL" not in said


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Toolchains:
    require_program("npm")
    return Toolchains(tmp_path_factory.mktemp("real") / "toolchains")


def plan(**given: str) -> Plan:
    return Plan(framework="x", reason="y", **given)  # type: ignore[arg-type]


def test_a_plan_without_node_needs_no_toolchain(real: Toolchains, log: Log) -> None:
    found = real.provide(plan(), log)
    assert (found.name, found.version, found.path_entries) == ("", "", ())


def test_a_node_that_the_machine_lacks_is_fetched_and_works(real: Toolchains, log: Log) -> None:
    own = real._nodes.choose("", log).version.partition(".")[0]
    wanted = "24" if own != "24" else "22"
    found = real.provide(plan(package_manager="npm", node=wanted), log)
    assert found.version.startswith(f"{wanted}.")
    environ = {"PATH": f"{found.path_entries[0]}:/usr/bin:/bin"}
    running = ToolchainStore(real.store.root, environ)
    assert running.run(("node", "--version"), "x").strip() == f"v{found.version}"
    assert running.run(("npm", "--version"), "x").strip() == found.manager.removeprefix("npm ")
    assert running.run(("npx", "--version"), "x").strip() == found.manager.removeprefix("npm ")
    log.lines.clear()
    real.provide(plan(package_manager="npm", node=wanted), log)
    assert log.lines == [f"Node {found.version}, {found.manager}"]


@pytest.mark.parametrize(
    ("name", "version", "program"),
    [("pnpm", "9.12.0", "pnpm"), ("yarn", "1", "yarn"), ("yarn", "4", "yarn"), ("bun", "", "bun")],
)
def test_a_package_manager_is_fetched_and_works(
    real: Toolchains, log: Log, name: str, version: str, program: str
) -> None:
    asked = plan(package_manager=name, package_manager_version=version)
    found = real.provide(asked, log)
    path = ":".join([*map(str, found.path_entries), "/usr/local/bin:/usr/bin:/bin"])
    environ = {"PATH": path, "HOME": str(real.store.root)}
    said = ToolchainStore(real.store.root, environ).run((program, "--version"), "x").strip()
    assert found.manager == f"{name} {said}"
    assert said.startswith(version)


def test_a_package_manager_version_that_does_not_exist_is_the_users(
    real: Toolchains, log: Log
) -> None:
    for version in ("99.0.0", "$(id)", "../x"):
        with pytest.raises(UserError) as caught:
            real.provide(plan(package_manager="pnpm", package_manager_version=version), log)
        assert caught.value.code == "package-manager-version"
