"""Deployments: what there are, what one is, where production leads, and deleting."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from typing import Any

import click

from bot.commands import find, output
from bot.commands.session import Session, all_pages, project_option, remote


@click.command("list")
@project_option
@click.option("--all", "everywhere", is_flag=True, help="Those of all projects.")
@click.option("--prod", is_flag=True, help="Those for production alone.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@remote
def list_(session: Session, project: str, everywhere: bool, prod: bool, limit: int) -> None:
    """List deployments, newest first."""
    query: dict[str, Any] = {"environment": "production"} if prod else {}
    if not everywhere and session.project_name(project):
        query["project_id"] = session.project(project)["id"]
    found = all_pages(session.client, "deployments", limit, **query)
    rows = (
        (
            row["id"],
            output.status(row["status"]),
            row["project"],
            row["environment"],
            (row["sha"] or "")[:12] or row["ref"] or row["source"],
            output.when(row["created_at"]),
            row["url"],
        )
        for row in found
    )
    columns = ("ID", "STATUS", "PROJECT", "FOR", "OF", "MADE", "ADDRESS")
    session.show(found, output.table(columns, rows))


@click.command()
@click.argument("deployment", default="")
@project_option
@remote
def inspect(session: Session, deployment: str, project: str) -> None:
    """Show a deployment with its builds. Default: the newest one.

    DEPLOYMENT is an id, an address, a build's id, a full commit SHA, or a branch.
    """
    found = find.deployment(session, deployment, project)
    builds = session.client.get("builds", deployment_id=found["id"])["data"]
    aliases = f"projects/{found['project_id']}/aliases"
    leading = session.client.every(aliases, deployment_id=found["id"])
    kept = session.client.get(f"deployments/{found['id']}/kept")["data"]
    names = [f"{row['kind']} {row['name']}" for row in leading]
    session.show(
        found | {"builds": builds, "aliases": names, "kept": kept},
        _described(found, builds, leading, kept["reasons"]),
    )


@click.command("open")
@click.argument("deployment", default="")
@project_option
@remote
def open_(session: Session, deployment: str, project: str) -> None:
    """Open a deployment in the browser, and print its address."""
    found = find.deployment(session, deployment, project)
    session.show(found, [found["url"]])
    if not session.as_json:
        webbrowser.open(found["url"])


@click.command()
@click.argument("deployment", default="")
@project_option
@remote
def promote(session: Session, deployment: str, project: str) -> None:
    """Lead production to a deployment. Default: the newest one."""
    found = find.deployment(session, deployment, project)
    path = f"projects/{found['project_id']}/promote"
    now = session.client.send("POST", path, {"deployment_id": found["id"]})["data"]
    session.show(now, [f"{now['project']}: production is {now['id']}: {now['url']}"])


@click.command()
@project_option
@remote
def rollback(session: Session, project: str) -> None:
    """Lead production back to what was live before."""
    path = f"projects/{session.project(project)['id']}/rollback"
    now = session.client.send("POST", path)["data"]
    session.show(now, [f"{now['project']}: production is again {now['id']}: {now['url']}"])


@click.command()
@click.argument("deployment")
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
@remote
def delete(session: Session, deployment: str, yes: bool, project: str) -> None:
    """Delete a deployment. Its builds' logs stay."""
    found = find.deployment(session, deployment, project)
    if not yes:
        click.confirm(f"Delete {found['id']} of {found['project']}?", abort=True, err=True)
    session.client.send("DELETE", f"deployments/{found['id']}")
    session.show({"deleted": found["id"]}, [f"Deleted {found['id']}."])


def _described(
    found: dict[str, Any],
    builds: list[dict[str, Any]],
    aliases: list[dict[str, Any]],
    reasons: list[str],
) -> Iterator[str]:
    yield from output.facts(
        [
            ("Deployment", found["id"]),
            ("Project", found["project"]),
            ("Status", output.status(found["status"])),
            ("Address", found["url"]),
            ("Environment", found["environment"]),
            ("Commit", found["sha"] or ""),
            ("Ref", found["ref"]),
            ("Source", found["source"]),
            ("Made", output.when(found["created_at"])),
            *((f"As {row['kind']}", row["url"]) for row in aliases),
            ("Kept, as", "; ".join(reasons)),
        ]
    )
    for build in builds:
        stages = "  ".join(f"{name} {taken:.2f} s" for name, taken in build["stages"].items())
        yield f"\n{build['id']}  {output.status(build['status'])}  {build['framework']}"
        yield from (f"  {text}" for text in (stages, build["error_message"]) if text)
