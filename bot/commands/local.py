"""Commands for the machine that the bot itself runs on: run it, look at it, try it.

They read the bot's settings; none of them speaks to a host elsewhere.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.commands import output
from bot.commands.endings import explained
from bot.commands.output import json_option

if TYPE_CHECKING:
    from bot.settings import Settings


@click.command()
@explained
def start() -> None:
    """Run web and worker on this machine, until Ctrl-C."""
    from bot import drivers
    from bot.settings import load

    settings = load()
    with drivers.only_needed(settings):
        from bot.local import supervisor

    sys.exit(supervisor.run(settings))


@click.command()
@json_option
@explained
def stop(as_json: bool) -> None:
    """Stop a bot that `demo` or `try` started in the background."""
    from bot.local import supervisor
    from bot.settings import load

    stopped = supervisor.stop_background(load())
    line = "Stopped." if stopped else "No bot runs in the background."
    output.result({"stopped": stopped}, as_json, [line])


@click.command()
@explained
def worker() -> None:
    """Run the worker alone: builds, and what GitHub is told."""
    from bot import drivers
    from bot.settings import load

    settings = _logged(load())
    with drivers.only_needed(settings):
        from bot import consumer

    consumer.run(settings)


@click.command()
@json_option
@explained
def migrate(as_json: bool) -> None:
    """Bring the database up to date. `start`, web and worker do so too."""
    from bot.models.database import connect
    from bot.setting_values import without_passwords
    from bot.settings import load

    shown = without_passwords(load().DATABASE_URL)
    connect(load().DATABASE_URL)
    output.result({"database": shown}, as_json, [f"{shown} is up to date."])


@click.command("admin-token")
@click.option("--name", default="made at the machine", show_default=True, help="To tell it by.")
@json_option
@explained
def admin_token(name: str, as_json: bool) -> None:
    """Make a token of the user `admin` and print it once; for whoever lost theirs.

    Works on the bot's own machine alone, by way of its settings and its database.
    """
    from bot import first_token
    from bot.models.database import connect
    from bot.settings import load

    token = first_token.make_another(connect(load().DATABASE_URL), name)
    output.result({"name": name, "token": token}, as_json, [token])


@click.command()
@json_option
@explained
def demo(as_json: bool) -> None:
    """Push two small sites to a repository on this machine, and show their pages."""
    from rich.console import Console

    from bot.local import demo as module
    from bot.settings import load

    urls = module.demo(load(), Console(stderr=as_json))
    output.result({"urls": urls}, as_json, ())


@click.command("try")
@click.argument("source", metavar="PATH-OR-GIT-URL")
@click.option("--ref", default="HEAD", help="Branch, tag or commit. Default: what is checked out.")
@json_option
@explained
def try_(source: str, ref: str, as_json: bool) -> None:
    """Deploy your own folder or repository on this machine."""
    from rich.console import Console

    from bot.local.demo import try_source
    from bot.settings import load

    url = try_source(load(), Console(stderr=as_json), source, ref)
    output.result({"url": url}, as_json, ())


@click.command()
@click.argument(
    "folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--context",
    type=click.Choice(["production", "preview"]),
    default="production",
    show_default=True,
    help="Whose environment is shown.",
)
@click.option(
    "--branch", default="", metavar="NAME", help="Whose contexts ([context.PATTERN]) count too."
)
@json_option
@explained
def check(folder: Path, context: str, branch: str, as_json: bool) -> None:
    """Check FOLDER's deploystack.toml, and print how it would be built."""
    from bot.local.check import lines

    found = list(lines(folder, context, branch))
    output.result({"valid": True, "plan": found}, as_json, found)


@click.command()
@json_option
@explained
def doctor(as_json: bool) -> None:
    """Check this machine and the settings, and say how to mend what is wrong."""
    from bot.local.doctor import diagnose, lines
    from bot.setting_values import without_passwords

    findings = []
    for found in diagnose():
        finding = replace(found, said=without_passwords(found.said))
        findings.append(finding)
        for line in () if as_json else lines(finding):
            click.echo(line)
    failed = any(finding.ok is False for finding in findings)
    if as_json:
        report = {"ok": not failed, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    sys.exit(1 if failed else 0)


@click.command()
@json_option
@explained
def settings(as_json: bool) -> None:
    """Check the settings, and print what is in force. Secrets stay hidden."""
    from bot.setting_values import without_passwords
    from bot.settings import SETTINGS, load

    loaded = load()
    given = {
        setting.name: without_passwords(str(getattr(loaded, setting.name))) for setting in SETTINGS
    }
    width = max(len(name) for name in given)
    lines = (f"{name:<{width}}  {value}" for name, value in given.items())
    output.result(given, as_json, lines)


def _logged(loaded: Settings) -> Settings:
    from bot.observe import logs

    logs.configure(loaded)
    return loaded
