"""What is built before a project of a workspace is: the packages that it depends on.

By Turborepo or Nx where the workspace uses one of them, else package after package. The
project itself is then built by its own script, which alone is told the base path: what
these tools keep of the others stays right for every commit.

https://turborepo.com/docs/reference/run#--filter-string , https://nx.dev/docs/reference/nx-commands
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bot.builders.package_json import Package
from bot.builders.plan import Plan, Step, program_folders
from bot.builders.workspace import NX, NX_PROJECT, Workspace, json_of

_BUILD = "build"


def described(workspace: Workspace) -> str:
    """What the log says of a workspace."""
    at = "the repository's root" if workspace.root == "." else workspace.root
    if workspace.integrated:
        return f"Nx workspace at {at}; installing there"
    count = len(workspace.members)
    packages = f"{count} package{'s' if count != 1 else ''}"
    return f"{workspace.manager.name} workspace of {packages} at {at}; installing there"


def announced(workspace: Workspace) -> tuple[str, ...]:
    """What the log says of the packages that are built first; nothing: none is."""
    names = [workspace.name_of(folder) or folder for folder in _built(workspace)]
    by = next((f" by {title}" for title, uses in _RUNNERS if uses(workspace)), "")
    return (f"Built first{by}: {', '.join(names)}",) if names else ()


def in_workspace(found: Plan, workspace: Workspace, package: Package, *, announce: bool) -> Plan:
    """The plan of a member's build, with what it has of its workspace.

    `announce`: whether the packages that it needs are built first.
    """
    manager, above = workspace.manager, workspace.package
    plan = replace(
        found,
        workspace=workspace.root,
        members=tuple(workspace.members),
        needed=workspace.needed,
        notes=(described(workspace), *(announced(workspace) if announce else ())),
        lockfile=workspace.path(manager.lockfile) if manager.lockfile else "",
        node=package.pinned or above.pinned or package.node or above.node or found.node,
    )
    return replace(plan, path=program_folders(plan))


def dependency_steps(workspace: Workspace) -> tuple[Step, ...]:
    """Commands that build what the project depends on, in order; none: nothing has to be."""
    if uses_turbo(workspace):
        return tuple(_at_root(workspace, command) for command in _by_turbo(workspace))
    if uses_nx(workspace):
        return tuple(_at_root(workspace, command) for command in _by_nx(workspace))
    run = workspace.manager.run(_BUILD)
    return tuple(Step(name="build", argv=run, folder=folder) for folder in _built(workspace))


def uses_turbo(workspace: Workspace) -> bool:
    return workspace.uses("turbo") and workspace.has("turbo.json")


def uses_nx(workspace: Workspace) -> bool:
    return workspace.uses("nx") and workspace.has(NX)


_RUNNERS = (("Turborepo", uses_turbo), ("Nx", uses_nx))


def nx_name(workspace: Workspace, folder: str) -> str:
    """What Nx calls the project in a folder."""
    said = json_of(workspace.tree, f"{folder}/{NX_PROJECT}").get("name")
    nx = workspace.package_of(folder).content.get("nx") if not workspace.integrated else None
    own = nx.get("name") if isinstance(nx, dict) else ""
    named = workspace.name_of(folder) if not workspace.integrated else ""
    return str(said or own or named or posixpath.basename(folder))


def _by_turbo(workspace: Workspace) -> Iterable[tuple[str, ...]]:
    built = _built(workspace)
    if workspace.project == workspace.root:
        if built:
            filters = (f"--filter={workspace.name_of(folder)}" for folder in built)
            yield "turbo", "run", _BUILD, *filters
        return
    name = workspace.name_of(workspace.project)
    filtered = name or f"{{./{posixpath.relpath(workspace.project, workspace.root)}}}"
    if built:
        yield "turbo", "run", _BUILD, f"--filter={filtered}^..."
    own = json_of(workspace.tree, f"{workspace.project}/turbo.json")
    whole = json_of(workspace.tree, workspace.path("turbo.json"))
    rules = [_tasks(content) for content in (own, whole)]
    named = (table.get(key) for table in rules for key in (f"{name}#{_BUILD}", _BUILD))
    tasks = _own_tasks(next((rule for rule in named if isinstance(rule, dict)), {}))
    if tasks:
        yield "turbo", "run", *tasks, f"--filter={filtered}"


def _by_nx(workspace: Workspace) -> Iterable[tuple[str, ...]]:
    if built := _built(workspace):
        names = ",".join(nx_name(workspace, folder) for folder in built)
        yield "nx", "run-many", f"--target={_BUILD}", f"--projects={names}"
    if workspace.project == workspace.root:
        return
    targets = json_of(workspace.tree, workspace.path(NX)).get("targetDefaults")
    own = json_of(workspace.tree, f"{workspace.project}/{NX_PROJECT}").get("targets")
    rules = (table.get(_BUILD) for table in (own, targets) if isinstance(table, dict))
    said = (rule for rule in rules if isinstance(rule, dict) and "dependsOn" in rule)
    for task in _own_tasks(next(said, {})):
        yield "nx", "run", f"{nx_name(workspace, workspace.project)}:{task}"


def _tasks(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Called `pipeline` before Turborepo 2."""
    found = content.get("tasks") or content.get("pipeline")
    return found if isinstance(found, dict) else {}


def _own_tasks(rule: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks of the same package that its build comes behind."""
    listed = rule.get("dependsOn")
    texts = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    return tuple(text for text in texts if re.fullmatch(r"\w[\w.-]*", text))


def _built(workspace: Workspace) -> tuple[str, ...]:
    """Those of the needed packages that have anything to build."""
    return tuple(f for f in workspace.needed if _BUILD in workspace.members[f].scripts)


def _at_root(workspace: Workspace, command: tuple[str, ...]) -> Step:
    argv = workspace.manager.execute(command)
    return Step(name="build", argv=argv, folder=workspace.root)
