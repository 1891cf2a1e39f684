"""What installed dependencies depend on: the key under which they are kept.

Two builds with the same key would install the same files. It is made of what the
package managers read, not of the sources: the version of a project, say, is no part.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.builders.package_json import LOCKFILES
from bot.builders.plan import UV, Plan
from bot.builders.toolchain import Toolchain
from bot.builders.variables import NONE, Variables

# Parts of package.json that say what is installed, by npm, pnpm, Yarn or Bun.
_SECTIONS = (
    "bundleDependencies",
    "bundledDependencies",
    "dependencies",
    "dependenciesMeta",
    "devDependencies",
    "engines",
    "installConfig",
    "name",
    "optionalDependencies",
    "overrides",
    "packageManager",
    "patchedDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "pnpm",
    "resolutions",
    "trustedDependencies",
    "workspaces",
)
_CONFIGURATION = frozenset(
    {".npmrc", ".pnpmfile.cjs", ".yarnrc", ".yarnrc.yml", "bunfig.toml", "pnpm-workspace.yaml"}
)
_PATCHES = ("patches", ".yarn/patches", ".yarn/plugins")
# Scripts of the project itself that an install runs, in this order.
# https://docs.npmjs.com/cli/using-npm/scripts#npm-ci
LIFECYCLE = ("preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare")
LIFECYCLE_LAST = "postprepare"
_FORMAT = "1"
# Lines of a requirements file. https://pip.pypa.io/en/stable/reference/requirements-file-format/
_ANOTHER_LIST = re.compile(r"\s*(?:-r|-c|--requirement|--constraint)[\s=]*([^\s#]+)")
_FROM_SOURCES = re.compile(r"\s*(?:-e|--editable|[./])|[^#]*(?:\bfile:|\bgit\+)")


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """`key` is empty where an install cannot be repeated by copying what it made.

    `scripts` are those of the project's own that an install runs, each with the folder that
    it runs in: they may read any source, so they run after every restoring too.
    """

    key: str
    scripts: tuple[tuple[str, str], ...]


def dependencies_of(
    tree: Path, plan: Plan, toolchain: Toolchain, stored: Variables = NONE
) -> Dependencies:
    """Look at a checked-out tree, before anything is installed in it."""
    if plan.package_manager == UV:
        return _of_python(tree / plan.root, plan, toolchain, stored)
    # Of a workspace also those of the packages that the project needs, in order.
    needed = (*plan.needed, plan.root) if plan.workspace else ()
    own = tuple(dict.fromkeys((plan.install_folder, *needed)))
    scripts = tuple(
        (folder, name) for folder in own for name in _scripts(tree / folder / "package.json")
    )
    digest = hashlib.sha256()
    install = plan.step("install")
    if not plan.restorable:
        return Dependencies(key="", scripts=scripts)
    _add(digest, "facts", _facts(plan, toolchain, stored, install.argv if install else ()))
    locked = False
    known = {tree / folder / "package.json" for folder in (*own, *plan.members)}
    for path in _relevant(tree):
        name = path.name
        content = path.read_bytes()
        if name == "package.json":
            # All but npm copy a `file:` dependency, whose content is no part of any lockfile.
            copied = plan.package_manager != "npm" and b'"file:' in content
            if copied or (path not in known and _scripts(path)):
                return Dependencies(key="", scripts=scripts)
            content = _sections(content)
        locked = locked or name in LOCKFILES
        _add(digest, path.relative_to(tree).as_posix(), content)
    if not locked or any(os.path.lexists(tree / folder / "node_modules") for folder in own):
        return Dependencies(key="", scripts=scripts)
    return Dependencies(key=digest.hexdigest(), scripts=scripts)


def _facts(plan: Plan, toolchain: Toolchain, stored: Variables, argv: Sequence[str]) -> bytes:
    """What an install depends on besides files.

    Variables count, such as NODE_ENV; those that differ in every build, such as the base
    path, are no project's own and no install's matter.
    """
    variables = sorted(stored.around({}, plan.variables).items())
    own = (_FORMAT, toolchain.version, toolchain.manager, platform.machine(), plan.install_folder)
    return repr((own, variables, argv)).encode()


def _of_python(root: Path, plan: Plan, toolchain: Toolchain, stored: Variables) -> Dependencies:
    """By the lists that the install reads; what it builds from sources is not kept."""
    nothing = Dependencies(key="", scripts=())
    digest = hashlib.sha256()
    words = [word for step in plan.steps if step.name == "install" for word in step.argv]
    if not plan.restorable or "." in words:
        return nothing
    _add(digest, "facts", _facts(plan, toolchain, stored, words))
    waiting = [root / words[-1]] if "--requirement" in words else []
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
            return nothing
        content = path.read_bytes()
        _add(digest, path.relative_to(root).as_posix(), content)
        for line in content.decode(errors="replace").splitlines():
            if named := _ANOTHER_LIST.match(line):
                waiting.append(Path(os.path.normpath(path.parent / named[1])))
            elif _FROM_SOURCES.match(line):
                return nothing
    return Dependencies(key=digest.hexdigest(), scripts=())


def _relevant(tree: Path) -> Iterator[Path]:
    """Every file that an install may read, in a fixed order; no links."""
    for folder, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if name not in {"node_modules", ".git"})
        here = Path(folder)
        relative = here.relative_to(tree).as_posix()
        in_patches = any(f"/{place}/" in f"/{relative}/" for place in _PATCHES)
        for name in sorted(files):
            wanted = name == "package.json" or name in LOCKFILES or name in _CONFIGURATION
            # Generated into node_modules by an install script of `@prisma/client`.
            if wanted or in_patches or name.endswith(".prisma"):
                path = here / name
                if path.is_file() and not path.is_symlink():
                    yield path


def _scripts(package: Path) -> tuple[str, ...]:
    scripts = _object(package.read_bytes() if package.is_file() else b"").get("scripts")
    if not isinstance(scripts, dict):
        return ()
    return tuple(name for name in (*LIFECYCLE, LIFECYCLE_LAST) if name in scripts)


def _sections(package: bytes) -> bytes:
    content = _object(package)
    if not content:
        return package
    chosen = {name: content[name] for name in _SECTIONS if name in content}
    return json.dumps(chosen, sort_keys=True).encode()


def _object(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _add(digest: Any, name: str, content: bytes) -> None:
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)
