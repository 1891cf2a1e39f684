"""npm, pnpm, Yarn and Bun, in the versions that projects ask for, from the npm registry."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from bot.builders.job import BuildLog
from bot.builders.node import Node
from bot.builders.toolchain_store import ToolchainStore
from bot.errors import SystemFault, UserError

# What stands for "any version", where a project names none.
_DEFAULT_VERSIONS = {"pnpm": "10", "yarn": "1", "bun": "1"}


@dataclass(frozen=True, kw_only=True)
class PackageManagerProgram:
    """`title` is the name with its version. Without `path_entries` it is Node's own npm."""

    title: str
    path_entries: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()


def provide_package_manager(
    name: str, asked: str, node: Node, store: ToolchainStore, log: BuildLog
) -> PackageManagerProgram:
    """Raises `UserError` where there is no such version, `SystemFault` where npm fails."""
    asked = asked or _DEFAULT_VERSIONS.get(name, "")
    if name == "npm":
        version = npm_version(node)
        if not asked or asked.partition(".")[0] == version.partition(".")[0]:
            return PackageManagerProgram(title=f"npm {version}")
    if not re.fullmatch(r"[\w.~^<>=*-]+", asked) or asked.startswith("."):
        raise _no_such_version(name, asked)

    def fetch(draft: Path) -> None:
        log.say(f"Fetching {name} {asked}, for this and later builds")
        package = package_of(name, asked)
        options = ("--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix")
        argv = (str(node.npm), "install", *options, str(draft), f"{package}@{asked}")
        try:
            store.run(argv, "package-manager-unavailable", node.path_entries)
        except SystemFault as fault:
            if not re.search("ETARGET|EINVALIDTAGNAME", fault.message):
                raise
            raise _no_such_version(name, asked) from None
        _lay_out_programs(draft, name, package)

    folder = store.make_once(f"{name}-{asked}", fetch)
    version = (folder / "version").read_text()
    return PackageManagerProgram(
        title=f"{name} {version}", path_entries=(folder / "bin",), readable=(folder,)
    )


def npm_version(node: Node) -> str:
    """The version of a Node's own npm; empty where it cannot be told."""
    package = Path(os.path.realpath(node.npm)).parents[1] / "package.json"
    try:
        return str(json.loads(package.read_text())["version"])
    except (OSError, ValueError, KeyError):
        return ""


def package_of(name: str, version: str) -> str:
    """The npm package that brings a package manager."""
    if name == "yarn" and not re.match(r"[\^~>=v]*[01](?:\.|$)", version):
        return "@yarnpkg/cli-dist"
    if name == "bun":
        return f"@oven/bun-{_bun_platform()}"
    return name


def _bun_platform() -> str:
    """https://bun.com/docs/installation : one package for each kind of machine."""
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


def _no_such_version(name: str, asked: str) -> UserError:
    return UserError(
        "package-manager-version",
        f"There is no {name} {asked!r}.",
        f"Correct `packageManager` in package.json; `npm view {name} versions` lists them.",
    )
