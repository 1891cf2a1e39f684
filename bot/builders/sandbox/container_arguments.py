"""A command as Docker and Podman are told it: pure, so that tests can compare it by equality.

https://docs.docker.com/reference/cli/docker/container/create ,
https://docs.podman.io/en/stable/markdown/podman-create.1.html
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bot.builders.sandbox.bubblewrap_arguments import (
    GROUP,
    HIDDEN_FILES,
    PASSWD,
    RESOLVER,
    ROOT_LINKS,
    SYSTEM_FILES,
    environment_of,
)
from bot.builders.sandbox.placed import inside, placed
from bot.builders.sandbox.runner import Command, Limits

START = "/run/deploystack/start"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The command line of Docker or Podman. `account` is who commands run as, `uid:gid`."""

    program: str
    podman: bool
    account: str
    options: tuple[str, ...] = ()

    def argv(self, *words: str) -> tuple[str, ...]:
        return (self.program, *self.options, *words)


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files and folders of the host that a container is made with."""

    start: Path  # the program that starts the command
    empty: Path  # an empty file, in place of what is hidden
    temporary: Path  # the private /tmp
    environment: Path  # NAME=VALUE lines


def create(
    command: Command,
    limits: Limits,
    engine: Engine,
    files: Files,
    *,
    name: str,
    image: str,
    from_machine: bool,
    options: tuple[str, ...] = (),
    resolver: Path | None = None,
) -> tuple[str, ...]:
    """Make the container, not yet running.

    `from_machine`: the image is empty, and the machine's own programs are shown in it.
    `resolver` is the /etc/resolv.conf of a network that is connected later.
    """
    return engine.argv(
        "create",
        *options,
        *("--name", name, "--init", "--read-only", "--user", engine.account),
        *("--workdir", str(placed(command).folder), "--env-file", str(files.environment)),
        *_late_variables(command),
        *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *("--security-opt", "label=disable", "--ipc", "private", "--pull", "never"),
        *(("--userns", "keep-id") if engine.podman and os.geteuid() != 0 else ()),
        *("--memory", str(limits.memory), "--memory-swap", str(limits.memory)),
        *("--pids-limit", str(limits.processes), "--ulimit", "core=0:0"),
        *("--ulimit", f"fsize={limits.disk}:{limits.disk}"),
        *(() if command.network and resolver is None else ("--network", "none")),
        *("--log-driver", "none"),
        *_volumes(command, files, from_machine=from_machine, resolver=resolver),
        *("--entrypoint", "/bin/sh", image, START, *placed(command).argv),
    )


def environment_file(command: Command) -> str:
    """What fits into lines; the rest goes onto the command line."""
    variables = environment_of(command).items()
    return "".join(f"{name}={value}\n" for name, value in variables if "\n" not in value)


def skeleton() -> bytes:
    """A tar of a root folder with nothing in it but links and places to mount at."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        folders = ["usr", "etc", "proc", "sys", "dev", "run", "run/deploystack", "tmp"]
        folders += [
            path.lstrip("/") for path in (*SYSTEM_FILES, *ROOT_LINKS) if _shown_folder(path)
        ]
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path in ROOT_LINKS:
            if os.path.islink(path):
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
                archive.addfile(entry)
        for name, content in (("etc/passwd", PASSWD), ("etc/group", GROUP)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def _shown_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _late_variables(command: Command) -> Iterable[str]:
    for name, value in environment_of(command).items():
        if "\n" in value:
            yield from ("--env", f"{name}={value}")


def _volumes(
    command: Command, files: Files, *, from_machine: bool, resolver: Path | None
) -> Iterable[str]:
    yield from _bind(files.start, START)
    yield from _bind(files.temporary, "/tmp", writable=True)  # noqa: S108
    if from_machine:
        yield from _bind("/usr", "/usr")
        shown = [path for path in SYSTEM_FILES if os.path.exists(path)]
        shown += [path for path in ROOT_LINKS if _shown_folder(path)]
        for path in shown:
            yield from _bind(os.path.realpath(path), path)
        for path in HIDDEN_FILES:
            if os.path.isfile(path):
                yield from _bind(files.empty, path)
    if resolver is not None:
        yield from _bind(resolver, RESOLVER)
    wanted = dict.fromkeys(command.readable, False) | dict.fromkeys(command.writable, True)
    for place, writable in sorted(wanted.items(), key=lambda pair: len(pair[0].parts)):
        yield from _bind(place, inside(command, place), writable=writable)


def _bind(source: Path | str, target: Path | str, *, writable: bool = False) -> Iterable[str]:
    yield "--mount"
    yield f"type=bind,source={source},target={target}{'' if writable else ',readonly'}"
