"""Variables of a project's builds. Their values go to the host, and never come back."""

from __future__ import annotations

import sys
from urllib.parse import quote, urlencode

import click

from bot.commands import output
from bot.commands.session import Session, project_option, remote

_context = click.option(
    "--context",
    type=click.Choice(["all", "production", "preview"]),
    default="all",
    show_default=True,
    help="Whose builds see it.",
)
_branch = click.option(
    "--branch",
    default="",
    metavar="PATTERN",
    help="Builds of these branches alone see it: release/*.",
)


@click.group()
def env() -> None:
    """Look after the variables of a project's builds."""


@env.command("list")
@project_option
@remote
def list_(session: Session, project: str) -> None:
    """List the names of variables."""
    found = session.client.get(f"projects/{session.project(project)['id']}/variables")["data"]
    rows = (
        (
            row["name"],
            row["context"],
            row.get("branch", ""),
            "secret" if row["secret"] else "plain",
            output.when(row["updated_at"]),
        )
        for row in found
    )
    session.show(found, output.table(("NAME", "CONTEXT", "BRANCH", "KIND", "SET"), rows))


@env.command("set")
@click.argument("name")
@click.option("--value", help="Default: asked for, or read from standard input.")
@_context
@_branch
@click.option("--secret/--plain", default=None, help="Default: by the name (docs/api.md).")
@project_option
@remote
def set_(
    session: Session,
    name: str,
    value: str | None,
    context: str,
    branch: str,
    secret: bool | None,
    project: str,
) -> None:
    """Set a variable.

    Others on this machine can see --value while the command runs: pipe secrets in.
    """
    if value is None and sys.stdin.isatty():
        value = click.prompt(name, hide_input=True, err=True)
    elif value is None:
        value = sys.stdin.read().removesuffix("\n")
    path = f"projects/{session.project(project)['id']}/variables/{quote(name, safe='')}"
    body = {"value": value, "context": context, "branch": branch, "secret": secret}
    row = session.client.send("PUT", path, body)["data"]
    kind = "secret" if row["secret"] else "plain"
    session.show(row, [f"Set {name} ({kind}, {_whose(context, branch)}). The next build sees it."])


@env.command()
@click.argument("name")
@_context
@_branch
@project_option
@remote
def remove(session: Session, name: str, context: str, branch: str, project: str) -> None:
    """Remove a variable."""
    path = f"projects/{session.project(project)['id']}/variables/{quote(name, safe='')}"
    query = urlencode({"context": context, "branch": branch})
    session.client.send("DELETE", f"{path}?{query}")
    removed = {"removed": name, "context": context, "branch": branch}
    session.show(removed, [f"Removed {name} ({_whose(context, branch)})."])


def _whose(context: str, branch: str) -> str:
    return f"{context}, branches {branch}" if branch else context
