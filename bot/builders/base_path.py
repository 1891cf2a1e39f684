"""How a build script is told the base path that its output will be served under.

`npm run build -- --base=/x/` reaches the script's last command only. Where the
framework's command is not that one (`vite build && node prerender.js`), the option
is written into the scripts of a copy of package.json instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.builders.frameworks import Framework
from bot.builders.package_json import Package
from bot.builders.project import Project


@dataclass(frozen=True, kw_only=True)
class BasePath:
    """What makes a build aware of its base path; `how` is for the log."""

    how: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def base_path_for(framework: Framework, project: Project, script: str, base: str) -> BasePath:
    """The way for this project; `script` names its build script, empty: it has none."""
    arguments = tuple(filled(argument, base) for argument in framework.base_arguments)
    environment = {n: filled(value, base) for n, value in framework.base_environment.items()}
    files = dict(framework.base_files(project, base)) if framework.base_files else {}
    ways = [f"{name}={value}" for name, value in environment.items()] + sorted(files)
    if arguments:
        shown = " ".join(arguments)
        command = " ".join(framework.command)
        package = project.package
        if not script or package is None or is_last_command(package.scripts[script], command):
            ways.append(shown)
        elif rewritten := _with_arguments(package, framework.command, arguments):
            files["package.json"] = rewritten
            arguments = ()
            ways.append(f"{shown}, written behind `{command}` in a copy of package.json")
        else:
            arguments = ()
            if not ways:
                return BasePath(
                    how=f"cannot be passed: no script calls `{command}`; "
                    "links that begin with / are answered by where they come from"
                )
    return BasePath(
        how=" and ".join(ways) if ways else "the framework has no switch for it",
        arguments=arguments,
        environment=environment,
        files=files,
    )


def filled(template: str, base: str) -> str:
    return template.replace("{base}", base).replace("{bare}", base.rstrip("/"))


_BEFORE = r"(?:^|[;&|]\s*)(?:(?:\w+=\S*|cross-env|npx|pnpm|yarn|bunx|exec|run)\s+)*"


def is_last_command(script: str, command: str) -> bool:
    """Whether arguments that are put behind `script` reach `command`."""
    return (
        re.search(rf"{_BEFORE}{re.escape(command)}(?:\s+[^;&|<>()]*)?$", script.strip()) is not None
    )


def _with_arguments(package: Package, command: tuple[str, ...], arguments: tuple[str, ...]) -> str:
    """package.json with `arguments` behind every call of `command`; empty: there is none."""
    call = re.compile(r"\s+".join(map(re.escape, command)) + r"(?![\w:-])")
    addition = "".join(f" {argument}" for argument in arguments)
    scripts = {
        name: call.sub(lambda found: found[0] + addition, _without(script, arguments))
        if call.search(script)
        else script
        for name, script in package.scripts.items()
    }
    if scripts == package.scripts:
        return ""
    return json.dumps({**package.content, "scripts": scripts}, indent=2) + "\n"


def _without(script: str, arguments: tuple[str, ...]) -> str:
    """The script without options of its own that ours would only repeat."""
    for argument in arguments:
        option = argument.partition("=")[0]
        script = re.sub(rf"\s+{re.escape(option)}(?:=|\s+)\S+", "", script)
    return script
