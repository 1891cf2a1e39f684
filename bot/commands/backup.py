"""`backup` and `restore`: for administrators, on a machine that has the bot's settings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.commands.endings import explained
from bot.commands.output import json_option

if TYPE_CHECKING:
    from bot.local.backup import Copied

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("folder", type=_FOLDER)
@json_option
@explained
def backup(folder: Path, as_json: bool) -> None:
    """Copy database, store, secrets and logs into FOLDER, while the bot runs.

    Into the same FOLDER again it copies only what is new. Keep it safe: it has the secrets.
    """
    from bot.local.backup import back_up
    from bot.settings import load

    copied = back_up(load(), folder)
    _show(copied, f"Backed up to {folder}", as_json)


@click.command()
@click.argument("folder", type=_FOLDER)
@json_option
@explained
def restore(folder: Path, as_json: bool) -> None:
    """Bring back what `backup` copied: to an empty database and DATA_DIR, the bot stopped."""
    from bot.local.backup import restore as bring_back
    from bot.settings import load

    copied = bring_back(load(), folder)
    _show(copied, f"Restored from {folder}", as_json)
    if copied.missing and not as_json:
        some = ", ".join(copied.missing[:10])
        click.echo(f"Deleted while it was backed up, and not there: {some}", err=True)


def _show(copied: Copied, done: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(copied), indent=2))
        return
    click.echo(
        f"{done}: {copied.deployments} deployments, {copied.contents} files, "
        f"{copied.size / 1e6:.1f} MB, of which {copied.new / 1e6:.1f} MB are new."
    )
