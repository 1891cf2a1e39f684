"""What container engines are told, as data."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bot.builders.sandbox.container import find_engine
from bot.builders.sandbox.container_arguments import (
    Engine,
    Files,
    create,
    environment_file,
    skeleton,
)
from bot.builders.sandbox.runner import Command, Limits
from bot.errors import SystemFault

ENGINE = Engine(program="/usr/bin/docker", podman=False, account="65533:65533", options=("-H", "x"))
FILES = Files(
    start=Path("/bot/start.sh"),
    empty=Path("/run/empty"),
    temporary=Path("/run/tmp"),
    environment=Path("/run/environment"),
)
LIMITS = Limits(seconds=1, memory=1000, processes=20, disk=300, log=1)


def made(command: Command | None = None, **given: Any) -> tuple[str, ...]:
    asked = command or Command(argv=("npm", "ci"), folder=Path("/b"))
    told = {"name": "n", "image": "node:22", "from_machine": False}
    return create(asked, LIMITS, ENGINE, FILES, **(told | given))


def test_a_container_is_made_without_rights_and_with_limits() -> None:
    assert made() == (
        *("/usr/bin/docker", "-H", "x", "create"),
        *("--name", "n", "--init", "--read-only", "--user", "65533:65533"),
        *("--workdir", "/b", "--env-file", "/run/environment"),
        *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *("--security-opt", "label=disable", "--ipc", "private", "--pull", "never"),
        *("--memory", "1000", "--memory-swap", "1000"),
        *("--pids-limit", "20", "--ulimit", "core=0:0", "--ulimit", "fsize=300:300"),
        *("--network", "none", "--log-driver", "none"),
        *("--mount", "type=bind,source=/bot/start.sh,target=/run/deploystack/start,readonly"),
        *("--mount", "type=bind,source=/run/tmp,target=/tmp"),
        *("--entrypoint", "/bin/sh", "node:22", "/run/deploystack/start", "npm", "ci"),
    )


def test_folders_are_mounted_as_they_are_given_and_once() -> None:
    command = Command(
        argv=("x",),
        folder=Path("/b"),
        writable=(Path("/b"),),
        readable=(Path("/opt/node"), Path("/opt/node"), Path("/b")),
    )
    mounts = [word for word in made(command) if word.startswith("type=bind")][2:]
    assert mounts == [
        "type=bind,source=/b,target=/b",
        "type=bind,source=/opt/node,target=/opt/node,readonly",
    ]


def test_a_network_is_the_engines_or_connected_later() -> None:
    command = Command(argv=("x",), folder=Path("/b"), network=True)
    assert "--network" not in made(command)
    connected = made(command, resolver=Path("/run/resolver"))
    assert connected[connected.index("--network") + 1] == "none"
    assert "type=bind,source=/run/resolver,target=/etc/resolv.conf,readonly" in connected


def test_without_an_image_the_machines_programs_are_shown() -> None:
    assert "type=bind,source=/usr,target=/usr,readonly" in made(from_machine=True)
    assert "type=bind,source=/usr,target=/usr,readonly" not in made()


def test_variables_go_into_a_file_but_for_those_of_several_lines() -> None:
    command = Command(argv=("x",), folder=Path("/b"), environment={"ONE": "1", "TWO": "a\nb"})
    assert "ONE=1\n" in environment_file(command)
    assert "TWO" not in environment_file(command)
    words = made(command)
    assert words[words.index("--env") + 1] == "TWO=a\nb"


def test_the_empty_image_holds_no_program_of_its_own() -> None:
    with tarfile.open(fileobj=io.BytesIO(skeleton())) as archive:
        files = [entry.name for entry in archive if entry.isfile()]
        links = {entry.name: entry.linkname for entry in archive if entry.issym()}
    assert files == ["etc/passwd", "etc/group"]
    if os.path.islink("/bin"):
        assert links["bin"] == os.readlink("/bin")


def test_an_engine_that_is_not_there_is_named() -> None:
    with pytest.raises(SystemFault, match="no-such-engine"):
        find_engine(("no-such-engine", "--option"))
