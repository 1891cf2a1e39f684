"""What was given up by the bot's own fault: look at it, and have it tried again."""

from __future__ import annotations

from urllib.parse import quote

import click

from bot.commands import output
from bot.commands.session import Session, remote


@click.group()
def dead() -> None:
    """Look at what was given up by the bot's own fault, and have it tried again."""


@dead.command("list")
@click.option("--kind", type=click.Choice(["build", "delivery", "message"]), default=None)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@remote
def list_(session: Session, kind: str | None, limit: int) -> None:
    """List builds, webhook deliveries and messages to GitHub that were given up."""
    chosen = f"&kind={kind}" if kind else ""
    found = session.client.get(f"dead-letters?limit={limit}{chosen}")["data"]
    rows = (
        (row["id"], row["project"], row["what"], output.when(row["at"]), row["problem"][:80])
        for row in found
    )
    lines = output.table(("ID", "PROJECT", "WHAT", "WHEN", "PROBLEM"), rows)
    session.show(found, lines if found else ["Nothing was given up."])


@dead.command()
@click.argument("ids", nargs=-1, required=True)
@remote
def replay(session: Session, ids: tuple[str, ...]) -> None:
    """Try again what the IDs name: of `dead list`, or the GUID of any kept delivery.

    A delivery that is older than what is known changes nothing.
    """
    done = []
    for letter_id in ids:
        path = f"dead-letters/{quote(letter_id, safe='')}/replay"
        done.append(session.client.send("POST", path)["data"])
    session.show(done, (f"{row['id']}: {row['outcome']}" for row in done))


@dead.command()
@click.option("--outcome", type=click.Choice(["accepted", "ignored", "failed"]), default=None)
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1, 1000))
@remote
def deliveries(session: Session, outcome: str | None, limit: int) -> None:
    """List the webhook deliveries that are kept, the newest first."""
    chosen = f"&outcome={outcome}" if outcome else ""
    found = session.client.get(f"deliveries?limit={limit}{chosen}")["data"]
    rows = (
        (row["guid"], row["event"], output.when(row["received_at"]), row["outcome"], row["reason"])
        for row in found
    )
    session.show(found, output.table(("GUID", "EVENT", "WHEN", "OUTCOME", "REASON"), rows))
