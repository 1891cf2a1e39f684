"""The workspace that a project lies in: where it is installed, and which packages it needs.

Workspaces are those of npm, pnpm, Yarn and Bun, and what Nx keeps without any of them. It
reads files alone; what is run in a workspace is `workspace_steps`' affair.

https://docs.npmjs.com/cli/using-npm/workspaces , https://pnpm.io/pnpm-workspace_yaml ,
https://yarnpkg.com/features/workspaces , https://bun.com/docs/pm/workspaces
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import yaml

from bot.builders import node_versions
from bot.builders.package_json import LOCKFILES, Package, PackageManager, read_package
from bot.builders.tree import Tree
from bot.errors import UserError

PNPM = "pnpm-workspace.yaml"
NX, NX_PROJECT = "nx.json", "project.json"
# A script that builds other packages of its workspace.
_SEES_TO_OTHERS = re.compile(
    r"\b(?:turbo|nx|lerna|wsrun)\b|\bworkspaces? "
    r"|\s(?:-w|-ws|-r|-F|--workspaces?|--recursive|--filter)\b"
)
# What a package asks for that no registry has.
_LOCAL = ("workspace:", "file:", "link:", "portal:")


@dataclass(frozen=True)
class Workspace:
    """`root` and the members' folders are paths within the tree; `project` is one of them, or
    the root itself.

    `package` is what lies at the root. `integrated`: the project is Nx's own, and has no
    package.json.
    """

    tree: Tree
    root: str
    project: str
    members: Mapping[str, Package]
    package: Package
    integrated: bool = False

    @property
    def manager(self) -> PackageManager:
        return self.package.manager

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The members that the project depends on, each behind those that it needs itself."""
        found: dict[str, None] = {}
        self._add_needs(self.project, found, (self.project,))
        return tuple(found)

    def path(self, name: str) -> str:
        """A path at the workspace's root, within the tree."""
        return posixpath.normpath(posixpath.join(self.root, name))

    def has(self, name: str) -> bool:
        return self.path(name) in self.tree.files

    def uses(self, program: str) -> bool:
        """Whether an install of the workspace brings the program."""
        return program in self.package.dependencies

    def package_of(self, folder: str) -> Package:
        """The package of a member, or of the root."""
        return self.members.get(folder, self.package)

    def name_of(self, folder: str) -> str:
        """What a package is called; empty: it has no name."""
        return str(self.package_of(folder).content.get("name") or "")

    def _add_needs(self, folder: str, found: dict[str, None], above: tuple[str, ...]) -> None:
        for name, wanted in self.package_of(folder).dependencies.items():
            other = self._by_name.get(name)
            if other is None or other in found or other in above:
                continue
            if _is_local(wanted, str(self.members[other].content.get("version", ""))):
                self._add_needs(other, found, (*above, other))
                found[other] = None

    @cached_property
    def _by_name(self) -> dict[str, str]:
        named = ((str(p.content.get("name", "")), folder) for folder, p in self.members.items())
        return {name: folder for name, folder in named if name}


def enclosing(tree: Tree, project: str) -> Workspace | None:
    """The innermost workspace above the folder `project` that counts it as a member.

    None too where the project has a lockfile of its own, and the workspace has none. Raises
    `UserError` where a file that says so cannot be read.
    """
    folder = posixpath.normpath(project)
    while folder != ".":
        folder = posixpath.dirname(folder) or "."
        found = _at(tree, folder, project)
        if found is not None:
            alone = not found.manager.lockfile and any(
                posixpath.join(project, name) in tree.files for name in LOCKFILES
            )
            return None if alone else found
    return None


def needed_by_its_root(tree: Tree, project: str) -> Workspace | None:
    """The workspace whose root is the folder `project` itself, where that depends on any of
    its packages, and its own script does not see to them."""
    patterns, package = _patterns(tree, project), read_package(tree, project)
    if not patterns or package is None or _SEES_TO_OTHERS.search(package.scripts.get("build", "")):
        return None
    members = dict(_members(tree, project, patterns))
    found = Workspace(tree, project, project, members, _managed(tree, project, package))
    return found if found.needed else None


def _at(tree: Tree, folder: str, project: str) -> Workspace | None:
    """The workspace whose root is `folder`, if `project` is one of its members."""
    patterns = _patterns(tree, folder)
    package = read_package(tree, folder)
    if package is None:
        return None
    bare = f"{project}/package.json" not in tree.files
    if not bare and patterns and _names(posixpath.relpath(project, folder), patterns):
        members = dict(_members(tree, folder, patterns))
        return Workspace(tree, folder, project, members, _managed(tree, folder, package))
    nx = posixpath.normpath(posixpath.join(folder, NX)) in tree.files
    if nx and bare and f"{project}/{NX_PROJECT}" in tree.files:
        return Workspace(tree, folder, project, {}, package, integrated=True)
    return None


def _managed(tree: Tree, folder: str, package: Package) -> Package:
    """pnpm's workspace is pnpm's, also without a lockfile that says so."""
    manager = package.manager
    if manager.lockfile or manager.version:
        return package
    if posixpath.normpath(posixpath.join(folder, PNPM)) not in tree.files:
        return package
    return replace(package, manager=PackageManager(name="pnpm"))


def _patterns(tree: Tree, folder: str) -> tuple[str, ...]:
    """Which folders are members; empty: it is no workspace's root."""
    listed = posixpath.normpath(posixpath.join(folder, PNPM))
    if listed in tree.files:
        return _texts(_yaml(tree, listed).get("packages"))
    path = posixpath.normpath(posixpath.join(folder, "package.json"))
    if path not in tree.files or b'"workspaces"' not in tree.read(path):
        return ()
    package = read_package(tree, folder)
    said = package.content.get("workspaces") if package is not None else None
    return _texts(said.get("packages") if isinstance(said, dict) else said)


def _yaml(tree: Tree, path: str) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(tree.read(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError("invalid-workspace", f"{path} is not valid YAML: {problem}.") from None
    return content if isinstance(content, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _members(tree: Tree, root: str, patterns: Sequence[str]) -> Iterator[tuple[str, Package]]:
    prefix = "" if root == "." else f"{root}/"
    for path in sorted(tree.files):
        folder, _, name = path.rpartition("/")
        if name != "package.json" or not folder.startswith(prefix) or "node_modules" in folder:
            continue
        relative = folder.removeprefix(prefix)
        if relative and _names(relative, patterns):
            package = read_package(tree, folder)
            if package is not None:
                yield folder, package


def _names(folder: str, patterns: Sequence[str]) -> bool:
    """Whether the last pattern that fits a folder names it, rather than takes it out (`!`)."""
    for pattern in reversed(patterns):
        if _compiled(pattern.removeprefix("!")).fullmatch(folder):
            return not pattern.startswith("!")
    return False


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """`packages/*`, `./apps/**`, `{apps,libs}/web`: as globs of folders."""
    text = pattern.removeprefix("./").strip("/")
    expression, depth = "", 0
    for piece in re.findall(r"/\*\*(?=/|$)|\*\*/|\*\*|\*|\?|.", text):
        if piece in {"{", "}"}:
            depth += 1 if piece == "{" else -1
            expression += "(?:" if piece == "{" else ")"
        elif piece == "," and depth:
            expression += "|"
        elif piece == "/**":
            expression += "(?:/.*)?"
        elif piece == "**/":
            expression += "(?:.*/)?"
        else:
            wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
            expression += wild.get(piece, re.escape(piece))
    try:
        return re.compile(expression)
    except re.error:  # unbalanced braces
        return re.compile(re.escape(text))


def _is_local(wanted: str, version: str) -> bool:
    """Whether what a package asks for is the workspace's own, and not a registry's."""
    if wanted.startswith(_LOCAL) or not version:
        return True
    versions = node_versions.as_range(wanted)
    return versions is None or node_versions.satisfies(version, versions)


def json_of(tree: Tree, path: str) -> Mapping[str, Any]:
    """A tool's configuration, with the comments that it may have; empty where it has none."""
    if path not in tree.files:
        return {}
    text = tree.read(path).decode(errors="replace")
    kept = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', r"\1", text, flags=re.DOTALL)
    try:
        content = json.loads(re.sub(r",(\s*[}\]])", r"\1", kept))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
