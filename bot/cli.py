"""The `deploystack` command: which commands there are, and where each of them is.

Only the module of the command that is asked for is loaded (`bot.commands`).
"""

from __future__ import annotations

from importlib import import_module

import click

from bot import __version__

# Command → module of `bot.commands`, and its name there where that is another one.
_SECTIONS: dict[str, dict[str, str]] = {
    "Deploy": {
        "deploy": "deploy",
        "list": "deployments:list_",
        "inspect": "deployments",
        "verify": "verify",
        "open": "deployments:open_",
        "logs": "builds",
        "queue": "queue",
        "cancel": "builds",
        "retry": "builds",
        "approve": "builds",
        "promote": "deployments",
        "rollback": "deployments",
        "alias": "aliases",
        "delete": "deployments",
    },
    "Projects": {
        "init": "init",
        "connect": "connect",
        "check": "local",
        "projects": "projects",
        "env": "environment",
        "domains": "domains",
        "retention": "retention",
    },
    "Access": {
        "login": "account",
        "logout": "account",
        "whoami": "account",
        "tokens": "tokens",
        "users": "users",
        "gc": "gc",
        "dead": "dead",
    },
    "The bot itself, on its own machine": {
        "start": "local",
        "stop": "local",
        "worker": "local",
        "migrate": "local",
        "backup": "backup",
        "restore": "backup",
        "settings": "local",
        "doctor": "local",
        "admin-token": "local:admin_token",
        "demo": "local",
        "try": "local:try_",
    },
    "This command": {"completion": "completion"},
}
_PLACES = {name: place for section in _SECTIONS.values() for name, place in section.items()}


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _PLACES:
            return None
        module, _, attribute = _PLACES[cmd_name].partition(":")
        found = getattr(import_module(f"bot.commands.{module}"), attribute or cmd_name)
        assert isinstance(found, click.Command)  # noqa: S101 (a test looks at all of them)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in _SECTIONS.items():
            known = ((name, self.get_command(ctx, name)) for name in section)
            rows = [(name, found.get_short_help_str(60)) for name, found in known if found]
            with formatter.section(title):
                formatter.write_dl(rows, col_spacing=2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Your own push-to-preview platform: from one `git push` to a page.

    Commands that speak to a host take --server and --json. docs/cli.md has exit codes and
    environment variables.
    """
