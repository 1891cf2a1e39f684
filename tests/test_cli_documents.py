"""docs/cli.md names every command, every exit code, and no command that there is not."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bot.cli import main
from bot.commands.endings import Exit

DOCUMENT = (Path(__file__).parents[1] / "docs/cli.md").read_text()


def commands(
    group: click.Group, prefix: str = "deploystack"
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", found


COMMANDS = dict(commands(main))
RUN_UNTIL_STOPPED = {"deploystack start", "deploystack worker"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented_and_explains_itself(name: str) -> None:
    assert re.search(rf"{re.escape(name)}[ `]", DOCUMENT)
    assert COMMANDS[name].help


def test_no_command_is_documented_that_there_is_not() -> None:
    for words in re.findall(r"`deploystack ([a-z-]+(?: [a-z-]+)?)", DOCUMENT):
        first, _, second = words.partition(" ")
        assert f"deploystack {first}" in COMMANDS or f"deploystack {first} {second}" in COMMANDS


@pytest.mark.parametrize("code", Exit)
def test_an_exit_code_is_documented(code: Exit) -> None:
    assert f"\n| {code} |" in DOCUMENT


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_ends_by_itself_prints_json_on_request(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ("--json" in options) is (name not in RUN_UNTIL_STOPPED)


def test_asking_for_help_loads_nothing_slow() -> None:
    slow = ("flask", "peewee", "huey", "rich", "pydantic", "git", "github", "bot.settings")
    script = (
        "import sys; from click.testing import CliRunner; from bot.cli import main;"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0;"
        f"print([name for name in {slow!r} if name in sys.modules])"
    )
    ended = subprocess.run((sys.executable, "-c", script), capture_output=True, check=True)
    assert ended.stdout == b"[]\n"


def test_help_is_there_at_once() -> None:
    taken = []
    for _ in range(5):
        started = time.monotonic()
        subprocess.run((sys.executable, "-m", "bot", "--help"), capture_output=True, check=True)
        taken.append(time.monotonic() - started)
    assert min(taken) < 0.4, "the aim is 0.2 s on a machine that does nothing else"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell: str) -> None:
    ended = subprocess.run(
        (sys.executable, "-m", "bot", "completion", shell), capture_output=True, check=True
    )
    assert b"_DEPLOYSTACK_COMPLETE" in ended.stdout
