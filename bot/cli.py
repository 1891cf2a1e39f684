"""The `deploystack` command."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bot import __version__
from bot.errors import DeployStackError, UserError
from bot.settings import SETTINGS, Settings, load

console = Console()


def _explained(command: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of ours end in words and exit code 1 (the user's) or 2 (not the user's)."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except DeployStackError as error:
            click.echo(f"deploystack: {error.message} [{error.code}]", err=True)
            if error.hint:
                click.echo(error.hint, err=True)
            sys.exit(1 if isinstance(error, UserError) else 2)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Your own push-to-preview platform: from one `git push` to a page."""


@main.command()
@_explained
def start() -> None:
    """Run web and worker on this machine, until Ctrl-C."""
    from bot.local import supervisor

    sys.exit(supervisor.run(load()))


@main.command()
@_explained
def stop() -> None:
    """Stop a bot that `demo` or `try` started in the background."""
    from bot.local import supervisor

    stopped = supervisor.stop_background(load())
    click.echo("Stopped." if stopped else "No bot runs in the background.")


@main.command()
@_explained
def worker() -> None:
    """Run the worker alone: builds, and what GitHub is told."""
    from bot import consumer

    consumer.run(_logged(load()))


@main.command()
@_explained
def migrate() -> None:
    """Bring the database up to date. `start`, web and worker do so too."""
    from bot.models.database import connect

    settings = load()
    connect(settings.DATABASE_URL)
    click.echo(f"{settings.DATABASE_URL} is up to date.")


@main.command("admin-token")
@click.option("--name", default="made at the machine", show_default=True, help="To tell it by.")
@_explained
def admin_token(name: str) -> None:
    """Make a token of the user `admin` and print it once; for whoever lost theirs.

    Works on the bot's own machine alone, by way of its settings and its database.
    """
    from bot import first_token
    from bot.models.database import connect

    click.echo(first_token.make_another(connect(load().DATABASE_URL), name))


@main.command()
@_explained
def demo() -> None:
    """Push two small sites to a repository on this machine, and show their pages."""
    from bot.local.demo import demo

    demo(load(), console)


@main.command("try")
@click.argument("source", metavar="PATH-OR-GIT-URL")
@click.option("--ref", default="HEAD", help="Branch, tag or commit. Default: what is checked out.")
@_explained
def try_(source: str, ref: str) -> None:
    """Deploy your own folder or repository on this machine."""
    from bot.local.demo import try_source

    try_source(load(), console, source, ref)


@main.command()
@click.argument("repository", metavar="OWNER/REPO")
@_explained
def connect(repository: str) -> None:
    """Give a GitHub repository the bot's webhook. Needs GITHUB_TOKEN or an App."""
    from bot.github.client import client_from
    from bot.github.connect import connect_repository
    from bot.models.database import connect as open_database

    loaded = load()
    client = client_from(loaded)
    if client is None:
        raise UserError(
            "no-credentials",
            "There is neither a GITHUB_TOKEN nor a GitHub App in the settings.",
            "docs/github.md says how to make one.",
        )
    open_database(loaded.DATABASE_URL)
    connected = connect_repository(client, loaded, repository)
    verb = "Created" if connected.created else "Updated"
    click.echo(f"{verb} the webhook of {repository}: {connected.url}")


@main.command()
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
@_explained
def check(folder: Path, context: str) -> None:
    """Check FOLDER's deploystack.toml, and print how it would be built."""
    from bot.local.check import lines

    for line in lines(folder, context):
        click.echo(line)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@_explained
def doctor(as_json: bool) -> None:
    """Check this machine and the settings, and say how to mend what is wrong."""
    from bot.local.doctor import diagnose, lines

    findings = []
    for finding in diagnose():
        findings.append(finding)
        for line in () if as_json else lines(finding):
            click.echo(line)
    failed = any(finding.ok is False for finding in findings)
    if as_json:
        report = {"ok": not failed, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    sys.exit(1 if failed else 0)


@main.command()
@_explained
def settings() -> None:
    """Check the settings, and print what is in force. Secrets stay hidden."""
    loaded = load()
    width = max(len(setting.name) for setting in SETTINGS)
    for setting in SETTINGS:
        click.echo(f"{setting.name:<{width}}  {getattr(loaded, setting.name)}")


def _logged(loaded: Settings) -> Settings:
    logging.basicConfig(
        level=loaded.LOG_LEVEL, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    # Huey announces every message at INFO; our own lines say more.
    logging.getLogger("huey").setLevel(logging.WARNING)
    return loaded
