"""The plan of a build: what deploystack.toml says, and what detection finds for the rest."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace

from msgspec import UNSET, UnsetType

from bot.builders import detect
from bot.builders.configuration import Configuration, nearest, read_configuration
from bot.builders.configuration_keys import FRAMEWORK_NAMES, NAME, PLAIN, Bounds
from bot.builders.configuration_parts import for_part, names_of
from bot.builders.detect import Given
from bot.builders.framework import Framework
from bot.builders.frameworks import GENERATORS, NODE_FRAMEWORKS
from bot.builders.plan import Plan, Step, program_folders
from bot.builders.project import Project
from bot.builders.tree import Tree

# What only a shell understands, outside of quotes, and what it expands in double quotes.
# https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html
_OPERATORS = re.compile(r"[|&;<>()$`*?\[~\n]|(?:^|\s)#")
_QUOTED = re.compile(r"'[^']*'|\\.|\"((?:\\.|[^\"\\])*)\"", re.DOTALL)
# Words that no program stands for, and assignments before a command.
_ONLY_IN_SHELLS = re.compile(r"\s*(?:(?:cd|export|set|unset|umask|eval|exec|if|for|while|\.|:|!)\s"
                             r"|[A-Za-z_][A-Za-z0-9_]*=)")  # fmt: skip
# Installs that fill node_modules and do nothing else, so that it may be restored instead.
_PLAIN_INSTALLS = frozenset(
    {
        ("bun", "install"),
        ("npm", "ci"),
        ("npm", "install"),
        ("pnpm", "install"),
        ("yarn", "install"),
    }
)


def plan(tree: Tree, base_path: str, context: str, branch: str = "", part: str = "") -> Plan:
    """How the commit becomes a site under `base_path`; `context` is `production` or `preview`.

    `part` is the project's name where it is one of several, but not the main one. Raises
    `UserError`: `invalid-configuration`, `project-missing`, and what `detect.plan` raises.
    """
    configuration = for_part(read_configuration(tree), part)
    root, build = configuration.root, configuration.file.build
    if root != "." and not any(path.startswith(f"{root}/") for path in tree.files):
        problem = f"there is no folder {root!r} in this commit"
        raise configuration.error(("root",), problem)
    install = _argv(configuration, ("build", "install"))
    command = _argv(configuration, ("build", "command"))
    output = _text(build.output) or ""
    framework = _framework(configuration, Project(tree, root))
    given = Given(
        command="" if build.framework is not UNSET and framework is None else _text(build.command),
        output=output,
        framework=framework,
    )
    found = detect.plan(tree, base_path, root, given)
    contexts = configuration.contexts(context, branch)
    variables = configuration.environment(context, branch)
    return _apply(configuration, found, contexts, variables, install, command)


def projects(tree: Tree) -> tuple[str, ...]:
    """The projects that deploystack.toml names, the main one first; empty: there is but one.

    Raises `UserError` `invalid-configuration`.
    """
    return names_of(read_configuration(tree))


def argv_of(text: str) -> tuple[str, ...]:
    """A command as it is run: in words, or by a shell where it has shell operators.

    Raises `ValueError` where a quotation has no end. An empty command has no words.
    """
    words = tuple(shlex.split(text))
    stripped = text.strip()
    bare = _QUOTED.sub(_what_a_shell_expands, stripped)
    if words and (_OPERATORS.search(bare) or _ONLY_IN_SHELLS.match(stripped)):
        return ("sh", "-c", stripped)
    return words


def _what_a_shell_expands(quoted: re.Match[str]) -> str:
    """A quoted part without what is literal in it; `_` keeps words apart."""
    within = quoted[1] or ""
    return "$" if re.search(r"[$`]", within) or "\\\n" in quoted[0] else "_"


def _apply(
    configuration: Configuration,
    found: Plan,
    contexts: list[str],
    variables: Mapping[str, str],
    install: tuple[str, ...] | None,
    command: tuple[str, ...] | None,
) -> Plan:
    build, spa = configuration.file.build, configuration.file.serve.spa
    steps = found.steps
    if install is not None:
        # In a workspace what is usual runs at its root, and what a project says in the project.
        folder = found.root if found.workspace else ""
        own = (Step(name="install", argv=install, folder=folder),) if install else ()
        steps = (*own, *(step for step in steps if step.name != "install"))
    if command is not None:
        own = (Step(name="build", argv=command),) if command else ()
        steps = (*(step for step in steps if step.name != "build"), *own)
    manager = found.package_manager
    if build.node is not UNSET and steps:
        manager = manager or "npm"  # which comes with Node
    return replace(
        found,
        steps=steps,
        outputs=found.outputs if build.output is UNSET else (build.output,),
        environment={**found.environment, **variables},
        variables=variables,
        spa=found.spa if spa is UNSET else spa,
        network=build.network,
        node=found.node if build.node is UNSET else build.node,
        python=found.python if build.python is UNSET else build.python,
        package_manager=manager,
        path=program_folders(found) if command else found.path,
        restorable=install is None or not install or install[:2] in _PLAIN_INSTALLS,
        decided=_decided(configuration, contexts),
        configuration={NAME: configuration.text} if configuration.serves else {},
        reuse=build.reuse,
        ignored_paths=tuple(configuration.file.ignore.paths),
        ignore_command=_argv(configuration, ("ignore", "command")) or (),
        limits=_limits(configuration.file.limits),
    )


def _limits(bounds: Bounds) -> Mapping[str, int]:
    """Those that are set: seconds, numbers, and bytes."""
    units = {"K": 10, "M": 20, "G": 30}
    found = {}
    for name in bounds.__struct_fields__:
        value = getattr(bounds, name)
        if isinstance(value, str):
            digits = value.rstrip("KMG")
            found[name] = int(digits) << units.get(value[len(digits) :], 0)
        elif value is not UNSET:
            found[name] = value
    return found


def _argv(configuration: Configuration, path: tuple[str, str]) -> tuple[str, ...] | None:
    table, name = path
    text = _text(getattr(getattr(configuration.file, table), name))
    if text is None:
        return None
    try:
        if "\0" in text:
            raise ValueError("it has the character NUL in it")
        return argv_of(text)
    except ValueError as error:
        problem = f"cannot be split into words: {error}".lower()
        raise configuration.error(path, problem) from None


def _framework(configuration: Configuration, project: Project) -> tuple[Framework, str] | None:
    """The row that `build.framework` names; None: none, or plain files."""
    wanted = configuration.file.build.framework
    if wanted is UNSET:
        return None
    path = ("build", "framework")
    rows = [row for row in (*NODE_FRAMEWORKS, *GENERATORS) if row.name.lower() == wanted.lower()]
    if not rows:
        if wanted.lower() != PLAIN.lower():
            near = nearest(wanted, FRAMEWORK_NAMES)
            meant = f"; did you mean {near!r}?" if near else ""
            names = f"Known are {', '.join(FRAMEWORK_NAMES)}."
            raise configuration.error(path, f"there is no framework {wanted!r}{meant}", names)
        if configuration.file.build.command:
            problem = f"{PLAIN!r} needs no build: leave out one of this and build.command"
            raise configuration.error(path, problem)
        return None
    if rows[0] in NODE_FRAMEWORKS and project.package is None:
        where = "at the top" if project.root == "." else f"in {project.root}"
        raise configuration.error(path, f"{rows[0].name} needs a package.json {where}")
    # Several rows may have one name: of a generator's versions, say.
    fitting = (row for row in rows if project.depends_on(*row.packages))
    return next(fitting, rows[0]), f"`build.framework` in {NAME}"


def _decided(configuration: Configuration, contexts: list[str]) -> tuple[str, ...]:
    """The keys that are set and count for this build, in the file's order."""
    file = configuration.file
    counting = {("root",), ("serve", "spa")} | {("context", c, "environment") for c in contexts}
    for table in ("build", "ignore", "limits"):
        counting |= {(table, name) for name in getattr(file, table).__struct_fields__}
    return tuple(".".join(map(str, path)) for path in configuration.lines if path in counting)


def _text(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value
