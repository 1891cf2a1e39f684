"""How a build is told the base path that its output will be served under.

`npm run build -- --base=/x/` reaches the last command of a script alone. Where the
framework's command is not that one (`vite build && node prerender.js`), the option is
written into the scripts of the build's copy of package.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.builders import scripts
from bot.builders.framework import Framework, filled
from bot.builders.project import Project

_BY_ORIGIN = "links that begin with / are answered by the page that they come from"


@dataclass(frozen=True, kw_only=True)
class BasePath:
    """What makes a build aware of its base path; `how` is for the log."""

    how: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def base_path_for(
    framework: Framework, project: Project, script: str, base: str, *, behind: bool = True
) -> BasePath:
    """The way for this project; `script` names its build script, empty: it has none.

    `behind`: whether arguments may be put behind the command; where not, because the
    project gives its own, they are written into the scripts that it starts.
    """
    if framework.relative:
        return BasePath(how="its links are relative")
    arguments = tuple(filled(argument, base) for argument in framework.base_arguments)
    environment = {n: filled(value, base) for n, value in framework.base_environment.items()}
    files = dict(framework.base_files(project, base)) if framework.base_files else {}
    ways = [f"{name}={value}" for name, value in environment.items()]
    # A file that was moved aside is no way of its own.
    ways += [name for name in sorted(files) if ".own." not in name]
    if arguments:
        shown = " ".join(arguments)
        placed = _place(framework, project, script, arguments, behind=behind)
        if placed is None and not behind:
            return BasePath(
                how=f"left to the build command, which finds it in $BASE_PATH; {_BY_ORIGIN}",
                environment=environment,
                files=files,
            )
        if placed is None:
            return BasePath(
                how=f"cannot be passed on: no script calls `{' '.join(framework.commands[0])}`; "
                f"{_BY_ORIGIN}",
                environment=environment,
                files=files,
            )
        arguments, changed = placed
        files |= changed
        ways.insert(0, shown if arguments else f"{shown}, written into the scripts")
    return BasePath(
        how=" and ".join(ways) if ways else f"there is no switch for it; {_BY_ORIGIN}",
        arguments=arguments,
        environment=environment,
        files=files,
    )


def _place(
    framework: Framework, project: Project, script: str, arguments: tuple[str, ...], *, behind: bool
) -> tuple[tuple[str, ...], dict[str, str]] | None:
    """The arguments to put behind the script, or the files that hold them; `None`: no way."""
    package = project.package
    if not script or package is None:
        return (arguments, {}) if behind else None
    text = package.scripts[script]
    if behind and not scripts.has_option(text, arguments):
        for command in framework.commands:
            if scripts.is_last_command(text, command):
                return arguments, {}
    called = scripts.called_by(package, script, framework.commands)
    if called is None:
        return None
    changed = scripts.with_arguments(package, called, arguments)
    return (), {"package.json": scripts.package_json(package, changed)}
