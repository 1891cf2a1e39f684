"""Users of a host: the affair of its administrators."""

from __future__ import annotations

from urllib.parse import quote

import click

from bot.commands import output
from bot.commands.session import Session, all_pages, remote

_ROLES = click.Choice(["admin", "member"])


@click.group()
def users() -> None:
    """Look after who may use the host."""


@users.command("list")
@remote
def list_(session: Session) -> None:
    """List users, newest first."""
    found = all_pages(session.client, "users", 1000)
    rows = ((row["login"], row["role"], output.when(row["created_at"])) for row in found)
    session.show(found, output.table(("USER", "ROLE", "MADE"), rows))


@users.command()
@click.argument("login")
@click.option("--role", type=_ROLES, default="member", show_default=True)
@remote
def create(session: Session, login: str, role: str) -> None:
    """Make a user. `tokens create --user` gives them a way in."""
    row = session.client.send("POST", "users", {"login": login, "role": role})["data"]
    session.show(row, [f"Made {row['login']} ({row['role']})."])


@users.command()
@click.argument("login")
@click.argument("role", type=_ROLES)
@remote
def change(session: Session, login: str, role: str) -> None:
    """Make a user an administrator (`admin`) or not (`member`)."""
    row = session.client.send("PATCH", f"users/{quote(login, safe='')}", {"role": role})["data"]
    session.show(row, [f"{row['login']} is {row['role']}."])


@users.command()
@click.argument("login")
@click.option("--yes", is_flag=True, help="Do not ask.")
@remote
def remove(session: Session, login: str, yes: bool) -> None:
    """Remove a user, with their tokens and memberships."""
    if not yes:
        click.confirm(f"Remove {login}?", abort=True, err=True)
    session.client.send("DELETE", f"users/{quote(login, safe='')}")
    session.show({"removed": login}, [f"Removed {login}."])
