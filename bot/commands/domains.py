"""Custom domains of a project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from bot.commands import output
from bot.commands.session import Session, project_option, remote


@click.group()
def domains() -> None:
    """Look after the domains that a project's production is served under."""


@domains.command("list")
@project_option
@remote
def list_(session: Session, project: str) -> None:
    """List the project's domains."""
    found = session.client.get(f"projects/{session.project(project)['id']}/domains")["data"]
    rows = ((row["name"], output.status(row["state"]), row["problem"]) for row in found)
    session.show(found, output.table(("DOMAIN", "STATE", "MISSING"), rows))


@domains.command()
@click.argument("domain")
@project_option
@remote
def add(session: Session, domain: str, project: str) -> None:
    """Claim a domain, and say which DNS record proves it."""
    path = f"projects/{session.project(project)['id']}/domains"
    row = session.client.send("POST", path, {"domain": domain})["data"]
    session.show(row, _described(row))


@domains.command()
@click.argument("domain")
@project_option
@remote
def verify(session: Session, domain: str, project: str) -> None:
    """Look for a domain's DNS record now."""
    path = f"projects/{session.project(project)['id']}/domains/{quote(domain, safe='')}/verify"
    row = session.client.send("POST", path)["data"]
    session.show(row, _described(row))


@domains.command()
@click.argument("domain")
@project_option
@remote
def remove(session: Session, domain: str, project: str) -> None:
    """Take a domain away."""
    path = f"projects/{session.project(project)['id']}/domains/{quote(domain, safe='')}"
    session.client.send("DELETE", path)
    session.show({"removed": domain}, [f"Removed {domain}."])


def _described(row: dict[str, Any]) -> Iterator[str]:
    yield f"{row['name']} is {output.status(row['state'])}."
    if row["state"] != "verified":
        if row["problem"]:
            yield row["problem"]
        yield "One of these DNS records proves it:"
        records = ((f"  {r['type']}", r["name"], r["value"]) for r in row["records"])
        yield from output.table(("  TYPE", "NAME", "VALUE"), records)
        yield f"Then: deploystack domains verify {row['name']}"
