"""`deploystack check`: what a folder's build would be, without building it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bot.builders import configured
from bot.builders.configuration import Configuration, read_configuration
from bot.builders.configuration_keys import NAME
from bot.builders.configuration_parts import for_part
from bot.builders.plan import Plan
from bot.builders.tree import FolderTree, Tree
from bot.errors import UserError

# A path that has the commit in it has not been decided yet.
_BASE = "/<commit>/"
_BASE_OF_PART = "/<deployment>/"
_NETWORKS = {
    "full": "all commands have one",
    "install-only": "the install has one, later commands have none",
    "none": "no command has one",
}


def lines(folder: Path, context: str, branch: str = "") -> Iterator[str]:
    """What to print, line by line. Raises `UserError` where the folder cannot be built.

    `branch`: whose contexts count besides `context`'s own; empty: of no pattern.
    """
    tree = tree_of(folder)
    names = configured.projects(tree)
    plans = [_plan_of(tree, context, branch, name, first=name == names[0]) for name in names]
    plans = plans or [configured.plan(tree, _BASE, context, branch)]
    yield f"{NAME} is valid." if NAME in tree.files else f"There is no {NAME}: all is detected."
    configuration = read_configuration(tree)
    facts = [
        [*_facts(plan), *_of_context(plan, for_part(configuration, name), context, branch)]
        for plan, name in zip(plans, names or ("",), strict=True)
    ]
    width = max(len(name) for found in facts for name, _ in found)
    for number, found in enumerate(facts):
        if names:
            yield ""
            yield f"{'Project':<{width}}  {names[number]}{'' if number else ', the main one'}"
        for name, value in found:
            yield f"{name:<{width}}  {value}"


def _plan_of(tree: Tree, context: str, branch: str, name: str, *, first: bool) -> Plan:
    """The plan of one of several projects; what is wrong with it names it."""
    try:
        return configured.plan(tree, _BASE if first else _BASE_OF_PART, context, branch, name)
    except UserError as error:
        raise UserError(error.code, f"Project {name}: {error.message}", error.hint) from None


def tree_of(folder: Path) -> FolderTree:
    """What a push of the folder would bring: of a repository, nothing that Git ignores."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=folder,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        return FolderTree(folder)
    names = (os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
    return FolderTree(folder, names)


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "Framework", f"{plan.framework}: {plan.reason}"
    yield "Root", plan.root
    for note in plan.notes:
        yield "Workspace", note
    for step in plan.steps:
        folder = plan.folder_of(step)
        at = "" if folder == plan.root else f" (in {'the top folder' if folder == '.' else folder})"
        yield f"{step.name.capitalize()}{at}", shlex.join(step.argv)
    if not plan.steps:
        yield "Build", "none: the files are published as they are"
    yield "Output", " or ".join(plan.outputs)
    if plan.package_manager:
        version = plan.package_manager_version
        yield "Package manager", f"{plan.package_manager} {version}".strip()
        yield "Node", plan.node or "any"
    if plan.python:
        yield "Python", plan.python
    if plan.lockfile:
        yield "Lockfile", plan.lockfile
    if plan.steps:
        yield "Network", _NETWORKS[plan.network]
        yield "Reuse", _reuse(plan)
    if plan.limits:
        yield "Limits", ", ".join(f"{key} {_limit(key, plan.limits[key])}" for key in plan.limits)
    if plan.ignored_paths:
        yield "Ignored files", ", ".join(plan.ignored_paths)
    if plan.ignore_command:
        yield "Ignore command", shlex.join(plan.ignore_command)
    yield "Base path", plan.base_path
    yield "Unknown paths", "the index page" if plan.spa else "the 404 page"
    yield "Decided by the file", ", ".join(plan.decided) or "nothing"


def _of_context(
    plan: Plan, configuration: Configuration, context: str, branch: str
) -> Iterator[tuple[str, str]]:
    """Which of the file's contexts count, and what they come to."""
    counting = configuration.contexts(context, branch)
    others = [name for name in configuration.file.context if name not in counting]
    of = f"{context}, branch {branch}" if branch else context
    verb = "count" if len(counting) > 1 else "counts"
    yield "Context", of + (f": {', '.join(counting)} {verb}" if counting else "")
    if others:
        yield "Other contexts", f"{', '.join(others)} (--context, --branch)"
    for name, value in sorted(plan.variables.items()):
        yield f"Variable ({context})", f"{name}={value}"


def _reuse(plan: Plan) -> str:
    if not plan.reuse:
        return "never: every commit is built"
    return "an earlier output serves again where nothing that the build reads has changed"


def _limit(key: str, value: int) -> str:
    if key in {"time", "processes"}:
        return f"{value} s" if key == "time" else str(value)
    return f"{value / (1 << 20):g} MB"
