"""How long a project's deployments are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bot.commands import output
from bot.commands.session import Session, remote

_WORDS = {
    "closed_days": "after its branch or pull request",
    "idle_days": "unvisited, no name leading to it",
    "production_kept": "newest of production",
    "failed_days": "builds that led to nothing",
}


def _own(name: str, help_: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(f"--{name}", type=click.IntRange(0), default=None, help=help_)


@click.command()
@click.argument("project", default="")
@_own("closed-days", "Days that previews outlive their branch or pull request; 0: for ever.")
@_own("idle-days", "Days that unvisited deployments stay that no name leads to; 0: for ever.")
@_own("production-kept", "Newest production deployments that stay, used or not.")
@_own("failed-days", "Days that builds that led to nothing stay; 0: for ever.")
@click.option("--default", "reset", is_flag=True, help="As the operator says, in everything.")
@remote
def retention(session: Session, project: str, reset: bool, **values: int | None) -> None:
    """Show, or say, how long a project's deployments are kept. Default: the linked one."""
    path = f"projects/{session.project(project)['id']}/retention"
    given = {name: value for name, value in values.items() if value is not None}
    if reset:
        session.client.send("DELETE", path)
    found = session.client.get(path)["data"]
    if given:
        found = session.client.send("PUT", path, found["own"] | given)["data"]
    own = found["own"]
    session.show(
        found,
        output.facts(
            (words, f"{_amount(name, found[name])}{'' if own[name] is None else ' (own)'}")
            for name, words in _WORDS.items()
        ),
    )


def _amount(name: str, value: int) -> str:
    if name == "production_kept":
        return str(value)
    return f"{value} day{'s' * (value > 1)}" if value else "for ever"
