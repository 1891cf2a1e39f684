"""Projects: list, make, look at, delete."""

from __future__ import annotations

import click

from bot.commands import output
from bot.commands.session import Session, all_pages, remote


@click.group()
def projects() -> None:
    """Look after projects."""


@projects.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@remote
def list_(session: Session, limit: int) -> None:
    """List projects, newest first."""
    found = all_pages(session.client, "projects", limit)
    rows = (
        (row["name"], row["production_branch"], output.when(row["created_at"])) for row in found
    )
    session.show(found, output.table(("PROJECT", "PRODUCTION BRANCH", "MADE"), rows))


@projects.command()
@click.argument("name")
@click.option("--production-branch", default="main", show_default=True)
@remote
def create(session: Session, name: str, production_branch: str) -> None:
    """Make a project for uploads. A repository's is made by connecting it."""
    body = {"name": name, "production_branch": production_branch}
    row = session.client.send("POST", "projects", body)["data"]
    session.show(row, [f"Made {row['name']}."])


@projects.command()
@click.argument("name", default="")
@remote
def show(session: Session, name: str) -> None:
    """Show a project, and what its names lead to. Default: the linked one."""
    row = session.project(name)
    listed = session.client.every(f"projects/{row['id']}/aliases")
    aliases = sorted(listed, key=lambda alias: (alias["kind"], alias["name"]))
    session.show(
        row | {"aliases": aliases},
        output.facts(
            [
                ("Project", row["name"]),
                ("State", row["state"]),
                *([("What to do", row["advice"])] if row["advice"] else []),
                ("Builds at a time", _limit(row["concurrency"])),
                ("Production branch", row["production_branch"]),
                ("Private", "yes" if row["private"] else "no"),
                ("Made", output.when(row["created_at"])),
                *((f"{a['kind']} {a['name']}", a["url"]) for a in aliases),
            ]
        ),
    )


@projects.command()
@click.argument("name")
@click.argument("builds")
@remote
def limit(session: Session, name: str, builds: str) -> None:
    """Have at most so many BUILDS of a project run at a time.

    BUILDS is a number, `any`, or `default`: what the operator says for all projects.
    """
    chosen = {"any": 0, "default": None}
    if builds not in chosen and not (builds.isascii() and builds.isdecimal()):
        raise click.BadParameter("Give a number, `any` or `default`.", param_hint="BUILDS")
    wanted = chosen[builds] if builds in chosen else int(builds)
    path = f"projects/{session.project(name)['id']}"
    row = session.client.send("PATCH", path, {"concurrency": wanted})["data"]
    session.show(row, [f"Builds of {row['name']} at a time: {_limit(row['concurrency'])}."])


def _limit(concurrency: int | None) -> str:
    if concurrency is None:
        return "as the operator says"
    return str(concurrency) if concurrency else "any number"


@projects.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@remote
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a project with all its deployments."""
    row = session.project(name)
    if not yes:
        click.confirm(f"Delete {name} and all its deployments?", abort=True, err=True)
    session.client.send("DELETE", f"projects/{row['id']}")
    session.show({"deleted": name}, [f"Deleted {name}."])
