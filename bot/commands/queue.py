"""The queue: what waits, for what, and for how long."""

from __future__ import annotations

import click

from bot.commands import output
from bot.commands.session import Session, remote


@click.command()
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1, 500))
@remote
def queue(session: Session, limit: int) -> None:
    """Show what waits to be built, when it may begin, and what it waits for."""
    found = session.client.get(f"queue?limit={limit}")
    rows = (
        (
            str(row["queue"]["place"]) if row["queue"] else "-",
            row["project"],
            row["ref"],
            row["environment"],
            _about(row["queue"]["seconds"]) if row["queue"] else "now",
            row["queue"]["reason"] if row["queue"] else "just taken up",
        )
        for row in found["data"]
    )
    waited = found["waited"]
    lines = [
        *output.table(("PLACE", "PROJECT", "BRANCH", "ENVIRONMENT", "IN ABOUT", "WHY"), rows),
        f"{found['waiting']} wait, {found['running']} run; workers: {found['workers']}, "
        f"with {found['slots']} slots. Of the last day's builds half waited less than "
        f"{waited['p50']:.1f} s, and 95 % less than {waited['p95']:.1f} s.",
    ]
    session.show(found, lines)


def _about(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
