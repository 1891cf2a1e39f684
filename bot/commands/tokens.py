"""Tokens: made, listed, revoked."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from bot.commands import output
from bot.commands.session import Session, all_pages, remote


@click.group()
def tokens() -> None:
    """Look after the tokens that programs and people sign in with."""


@tokens.command("list")
@remote
def list_(session: Session) -> None:
    """List valid tokens, newest first."""
    found = all_pages(session.client, "tokens", 1000)
    rows = (
        (
            row["id"],
            row["name"],
            f"{row['beginning']}…",
            row["scope"],
            row["user"] or "",
            output.when(row["last_used_at"]) or "never",
            output.when(row["expires_at"]) or "never",
        )
        for row in found
    )
    columns = ("ID", "NAME", "BEGINS", "SCOPE", "USER", "LAST USED", "EXPIRES")
    session.show(found, output.table(columns, rows))


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "deploy", "admin"]),
    default="deploy",
    show_default=True,
)
@click.option("--project", default="", metavar="NAME", help="Default: all projects.")
@click.option("--user", help="Whose it is; empty: nobody's. Default: yours.")
@click.option("--expires-in-days", type=click.IntRange(1, 3650), help="Default: never.")
@remote
def create(
    session: Session,
    name: str,
    scope: str,
    project: str,
    user: str | None,
    expires_in_days: int | None,
) -> None:
    """Make a token, and print it: it cannot be had again."""
    body: dict[str, Any] = {"name": name, "scope": scope, "expires_in_days": expires_in_days}
    if project:
        body["project_id"] = session.project(project)["id"]
    if user is not None:
        body["user"] = user
    row = session.client.send("POST", "tokens", body)["data"]
    output.note(f"Made {row['id']}. The token is shown this once:")
    session.show(row, [row["token"]])


@tokens.command()
@click.argument("token_id", metavar="ID")
@remote
def revoke(session: Session, token_id: str) -> None:
    """End a token for good. ID is that of `tokens list`."""
    session.client.send("DELETE", f"tokens/{quote(token_id, safe='')}")
    session.show({"revoked": token_id}, [f"Revoked {token_id}."])
