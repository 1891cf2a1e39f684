"""Where a command finds its build's folder: at one path in every build.

What tools keep between builds is often keyed by the paths of files (webpack's cache and
Next.js's, Babel's, the scripts of a Python environment), and what they make may have them
in it. On the host each build has a folder with a name of its own; inside, it is always here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.builders.sandbox.runner import Command

WORKSPACE = Path("/workspace")


def inside(command: Command, path: Path) -> Path:
    """Where a path of the host lies inside."""
    if command.root is None or not path.is_relative_to(command.root):
        return path
    return WORKSPACE / path.relative_to(command.root)


def placed(command: Command) -> Command:
    """The command in words that are right inside: its program, folder and variables."""
    if command.root is None:
        return command
    host, here = str(command.root), str(WORKSPACE)
    return replace(
        command,
        argv=tuple(word.replace(host, here) for word in command.argv),
        folder=inside(command, command.folder),
        environment={
            name: value.replace(host, here) for name, value in command.environment.items()
        },
    )
