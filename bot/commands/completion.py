"""Completion of the command line by shells."""

from __future__ import annotations

import click

from bot.commands import output
from bot.commands.output import json_option


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print what makes SHELL complete the command. `eval "$(deploystack completion bash)"`."""
    from click.shell_completion import get_completion_class

    from bot.cli import main

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 (the choices are click's own)
    script = found(main, {}, "deploystack", "_DEPLOYSTACK_COMPLETE").source()
    output.result({"shell": shell, "script": script}, as_json, [script])
