"""The scripts of a package.json: which programs they call, and how to hand them options."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from bot.builders.package_json import Package

Command = tuple[str, ...]

# What may stand before a command: assignments, and programs that only start others.
_BEFORE = r"(?:^|[;&|(]\s*)(?:(?:\w+=\S*|cross-env|env|npx|pnpm|yarn|bunx|exec|run|dotenv|--)\s+)*"

# npm and Bun start scripts by `run` alone; `vite build` is no start of a script.
_STARTS = re.compile(
    r"(?<![\w./-])(?:(?:npm|pnpm|yarn|bun)\s+run(?:-script)?|pnpm|yarn)\s+(?:-\S+\s+)*([\w:.@/-]+)"
)


def calls(script: str, command: Command) -> bool:
    return _call(command).search(script) is not None


def reachable(package: Package, name: str) -> set[str]:
    """The names of a script and of all that it starts, by whatever runner of scripts."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in found or current not in package.scripts:
            continue
        found.add(current)
        words = set(re.findall(r"[\w:.@/-]+", package.scripts[current]))
        waiting += [other for other in package.scripts if other in words]
    return found


def started_by(package: Package, command: str) -> str:
    """The first script that a command line starts (`npm run docs`); empty: none."""
    names = _STARTS.findall(command)
    return next((name for name in names if name in package.scripts), "")


def called_by(package: Package, name: str, commands: tuple[Command, ...]) -> Command | None:
    """The first of the commands that a script calls, itself or through others."""
    texts = [package.scripts[script] for script in reachable(package, name)]
    for command in commands:
        if any(calls(text, command) for text in texts):
            return command
    return None


def is_last_command(script: str, command: Command) -> bool:
    """Whether what is put behind the script reaches the command, and its only call."""
    words = r"\s+".join(map(re.escape, command))
    if len(_call(command).findall(script)) != 1:
        return False
    return re.search(rf"{_BEFORE}{words}(?:\s+[^;&|<>()]*)?$", script.strip()) is not None


def has_option(script: str, arguments: tuple[str, ...]) -> bool:
    """Whether a script gives one of the options itself."""
    return any(_option(argument).search(script) for argument in arguments)


def with_arguments(
    package: Package, command: Command, arguments: tuple[str, ...]
) -> Mapping[str, str]:
    """All scripts, with the arguments behind every call of the command."""
    addition = "".join(f" {argument}" for argument in arguments)
    changed = {}
    for name, script in package.scripts.items():
        text = script
        if calls(text, command):
            for argument in arguments:
                text = _option(argument).sub("", text)
            text = _call(command).sub(lambda found: found[0] + addition, text)
        changed[name] = text
    return changed


def package_json(package: Package, scripts: Mapping[str, str]) -> str:
    """package.json with other scripts."""
    return json.dumps({**package.content, "scripts": scripts}, indent=2, ensure_ascii=False) + "\n"


def _call(command: Command) -> re.Pattern[str]:
    words = r"\s+".join(map(re.escape, command))
    return re.compile(rf"(?<![\w@./:-]){words}(?![\w:/@.-])")


def _option(argument: str) -> re.Pattern[str]:
    option = re.escape(argument.partition("=")[0])
    return re.compile(
        rf"\s+{option}(?:=\S+|\s+[^-\s;&|]\S*)" if "=" in argument else rf"\s+{option}\b"
    )
