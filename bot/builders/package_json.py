"""What a package.json and its lockfiles say: dependencies, scripts, package manager.

https://docs.npmjs.com/cli/configuring-npm/package-json
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.builders.tree import Tree
from bot.errors import UserError

# Lockfile → package manager; the first that is there counts.
LOCKFILES = {
    "pnpm-lock.yaml": "pnpm",
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "yarn.lock": "yarn",
    "npm-shrinkwrap.json": "npm",
    "package-lock.json": "npm",
}
_MANAGERS = ("npm", "pnpm", "yarn", "bun")


@dataclass(frozen=True, kw_only=True)
class PackageManager:
    """`version` is what the project asks for, such as `9.12.0`; empty: any.

    `berry`: a Yarn of version 2 or later, whose options differ from Yarn 1's.
    """

    name: str
    version: str = ""
    lockfile: str = ""
    berry: bool = False

    @property
    def asked(self) -> str:
        """The version to provide: what was asked for, or the one that fits the lockfile."""
        if self.version or self.name != "yarn":
            return self.version
        return "4" if self.berry else "1"

    def install(self) -> tuple[str, ...]:
        """Install exactly what the lockfile says, where there is one."""
        locked = bool(self.lockfile)
        if self.name == "npm":
            return ("npm", "ci" if locked else "install", "--no-audit", "--no-fund")
        if self.name == "yarn" and self.berry:
            return ("yarn", "install", "--immutable") if locked else ("yarn", "install")
        frozen = "--frozen-lockfile" if locked else "--no-frozen-lockfile"
        if not locked and self.name != "pnpm":
            return (self.name, "install")
        return (self.name, "install", frozen)

    def run(self, script: str, arguments: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Run a script of package.json; `arguments` are put behind its last command."""
        separator = ("--",) if self.name == "npm" and arguments else ()
        return (self.name, "run", script, *separator, *arguments)

    def execute(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """Run a program that a dependency brings."""
        if self.berry:
            return ("yarn", "run", *command)
        return (f"node_modules/.bin/{command[0]}", *command[1:])


@dataclass(frozen=True, kw_only=True)
class Package:
    """The parts of package.json that a build depends on. `dependencies` are of all kinds."""

    scripts: Mapping[str, str] = field(default_factory=dict)
    dependencies: Mapping[str, str] = field(default_factory=dict)
    engines: Mapping[str, str] = field(default_factory=dict)
    manager: PackageManager
    # The Node version that is pinned, and the one asked for in whatever way.
    pinned: str = ""
    node: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)


def read_package(tree: Tree, root: str = ".") -> Package | None:
    """The package at `root`, if there is one; raises `UserError` where it cannot be read."""
    path = posixpath.normpath(posixpath.join(root, "package.json"))
    if path not in tree.files:
        return None
    content = _parse(tree.read(path), path)
    return Package(
        scripts=_texts(content.get("scripts")),
        dependencies=_texts(content.get("devDependencies"))
        | _texts(content.get("dependencies"))
        | _texts(content.get("optionalDependencies")),
        engines=_texts(content.get("engines")),
        manager=_package_manager(tree, root, content),
        pinned=(pinned := _pinned_node(tree, root, content)),
        node=pinned or _texts(content.get("engines")).get("node", ""),
        content=content,
    )


def _parse(text: bytes, path: str) -> dict[str, Any]:
    try:
        content = json.loads(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        problem = f"{error.msg} (line {error.lineno}, column {error.colno})"
        raise UserError("invalid-package-json", f"{path} is not valid JSON: {problem}.") from None
    except UnicodeDecodeError:
        raise UserError("invalid-package-json", f"{path} is not UTF-8 text.") from None
    if not isinstance(content, dict):
        raise UserError("invalid-package-json", f"{path} does not hold a JSON object.")
    return content


def _texts(value: object) -> dict[str, str]:
    """The text entries of what should be an object of texts."""
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _package_manager(tree: Tree, root: str, content: Mapping[str, Any]) -> PackageManager:
    """By `packageManager`, else by lockfile, else npm.

    https://nodejs.org/api/packages.html#packagemanager
    """
    lockfiles = {
        manager: name
        for name, manager in reversed(LOCKFILES.items())
        if posixpath.normpath(posixpath.join(root, name)) in tree.files
    }
    asked = re.match(r"(\w+)@([^+\s]+)", str(content.get("packageManager", "")))
    if asked and asked[1] in _MANAGERS:
        name, version = asked[1], asked[2]
    else:
        name = next((m for m in LOCKFILES.values() if m in lockfiles), "npm")
        version = ""
    lockfile = lockfiles.get(name, "")
    berry = False
    if name == "yarn":
        if version:
            berry = not version.startswith("1.")
        elif lockfile:
            path = posixpath.normpath(posixpath.join(root, lockfile))
            berry = b"__metadata:" in tree.read(path)[:4096]
    return PackageManager(name=name, version=version, lockfile=lockfile, berry=berry)


def _pinned_node(tree: Tree, root: str, content: Mapping[str, Any]) -> str:
    """The Node version asked for, as written, but for `engines`, which are less exact."""
    volta = _texts(content.get("volta")).get("node")
    if volta:
        return volta
    for name in (".nvmrc", ".node-version"):
        path = posixpath.normpath(posixpath.join(root, name))
        if path in tree.files:
            lines = tree.read(path).decode(errors="replace").splitlines()
            written = next((x.split("#")[0].strip() for x in lines if x.split("#")[0].strip()), "")
            if written:
                return written
    return ""
