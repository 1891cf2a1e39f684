"""Completion of the command line by shells."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete the command. `eval "$(deploystack completion bash)"`."""
    from click.shell_completion import get_completion_class

    from bot.cli import main

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 (the choices are click's own)
    click.echo(found(main, {}, "deploystack", "_DEPLOYSTACK_COMPLETE").source())
