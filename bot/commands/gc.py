"""Freeing space on a host: the affair of its administrators."""

from __future__ import annotations

import click

from bot.commands.session import Session, remote


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be freed, and free nothing.")
@remote
def gc(session: Session, dry_run: bool) -> None:
    """Free what no deployment refers to any more."""
    found = session.client.send("POST", "gc", {"dry_run": dry_run})["data"]
    verb = "Would free" if dry_run else "Freed"
    megabytes = found["bytes"] / 1e6
    session.show(
        found, [f"{verb} {megabytes:.1f} MB in {found['contents']} files; {found['kept']} stay."]
    )
