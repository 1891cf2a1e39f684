"""Aliases: names that lead to deployments, and are moved by hand."""

from __future__ import annotations

from urllib.parse import quote

import click

from bot.commands import find, output
from bot.commands.session import Session, project_option, remote


@click.group()
def alias() -> None:
    """Look after names that lead to deployments."""


@alias.command("list")
@project_option
@remote
def list_(session: Session, project: str) -> None:
    """List where the project's names lead: those set by hand (custom), and all others."""
    listed = session.client.every(f"projects/{session.project(project)['id']}/aliases")
    found = sorted(listed, key=lambda row: (row["kind"], row["name"]))
    rows = (
        (
            row["name"],
            row["kind"],
            row["deployment_id"],
            output.when(row["updated_at"]),
            row["url"],
        )
        for row in found
    )
    session.show(found, output.table(("NAME", "KIND", "LEADS TO", "MOVED", "ADDRESS"), rows))


@alias.command("set")
@click.argument("deployment")
@click.argument("name")
@project_option
@remote
def set_(session: Session, deployment: str, name: str, project: str) -> None:
    """Make NAME lead to DEPLOYMENT, wherever it led before, and print its address.

    DEPLOYMENT is an id, an address, a build's id, a full commit SHA, a branch, or an alias.
    """
    found = find.deployment(session, deployment, project)
    path = f"projects/{found['project_id']}/aliases/{quote(name, safe='')}"
    row = session.client.send("PUT", path, {"deployment_id": found["id"]})["data"]
    session.show(row, [row["url"]])


@alias.command()
@click.argument("name")
@project_option
@remote
def rm(session: Session, name: str, project: str) -> None:
    """Take a name away that was set by hand. The deployment stays."""
    path = f"projects/{session.project(project)['id']}/aliases/{quote(name, safe='')}"
    session.client.send("DELETE", path)
    session.show({"removed": name}, [f"Removed {name}."])
