"""Freeing space on a host: the affair of its administrators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from bot.commands import output
from bot.commands.session import Session, remote


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@remote
def gc(session: Session, dry_run: bool) -> None:
    """Take away what is no longer to be kept."""
    found = session.client.send("POST", "gc", {"dry_run": dry_run})["data"]
    session.show(found, _told(found))


def _told(found: dict[str, Any]) -> Iterator[str]:
    would = "Would free" if found["dry_run"] else "Freed"
    if found["deployments"]:
        rows = (
            (
                row["id"],
                row["project"],
                (row["sha"] or "")[:12],
                output.size(row["bytes"]),
                row["because"],
            )
            for row in found["deployments"]
        )
        yield from output.table(("DEPLOYMENT", "PROJECT", "COMMIT", "ALONE", "BECAUSE"), rows)
    if found["builds"]:
        yield f"{found['builds']} old builds with their logs."
    freed = f"{would} {output.size(found['bytes'])} in {found['contents']} files"
    if found["bytes_later"]:
        freed += f", and {output.size(found['bytes_later'])} a day later"
    yield f"{freed}; {found['kept']} stay. Deployments hold {output.size(found['held'])}."
    if found["over"]:
        yield f"STORAGE_BUDGET is exceeded by {output.size(found['over'])}: all of it is needed."
