"""Builds: their logs, cancelling, building again, and approving those of forks."""

from __future__ import annotations

import click

from bot.commands import find, output
from bot.commands.following import follow, outcome
from bot.commands.session import Session, project_option, remote
from bot.errors import UserError


@click.command()
@click.argument("build", default="")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the build has ended.")
@project_option
@remote
def logs(session: Session, build: str, following: bool, project: str) -> None:
    """Print a build's log. Default: that of the newest build.

    BUILD is a build's id, or whatever names a deployment. With --follow, a build that
    fails ends the command with exit code 4.
    """
    found = find.build(session, build, project)
    lines = session.client.follow(found["id"])
    if session.as_json:
        whole = list(lines) if following else session.client.log(found["id"]).splitlines()
        session.show({"build_id": found["id"], "lines": whole}, ())
    elif following:
        for line in lines:
            click.echo(line)
    else:
        click.echo(session.client.log(found["id"]), nl=False)
    if following:
        outcome(session.client, found["id"])


@click.command()
@click.argument("build", default="")
@project_option
@remote
def cancel(session: Session, build: str, project: str) -> None:
    """Cancel a build. Default: the newest one."""
    found = find.build(session, build, project)
    now = session.client.send("POST", f"builds/{found['id']}/cancel")["data"]
    session.show(now, [f"Cancelled {now['id']}."])


@click.command()
@click.argument("build", default="")
@click.option("--wait/--no-wait", default=True, help="Wait for the build. Default: wait.")
@click.option("--no-cache", is_flag=True, help="Use nothing of earlier builds.")
@project_option
@remote
def retry(session: Session, build: str, wait: bool, no_cache: bool, project: str) -> None:
    """Build again what did not succeed. Default: the newest deployment."""
    found = find.build(session, build, project)
    query = "?no_cache=true" if no_cache else ""
    again = session.client.send("POST", f"builds/{found['id']}/retry{query}")["data"]
    if wait:
        with output.busy(f"Building {again['deployment_id']}") as say:
            follow(session.client, again["id"], say)
        again = outcome(session.client, again["id"])
    session.show(again, [again["url"]])


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--sha", default="", help="The commit that you looked at; asked for otherwise.")
@project_option
@remote
def approve(session: Session, number: int | None, sha: str, project: str) -> None:
    """Have the commit of a fork's pull request built. Without NUMBER: list what waits.

    Somebody's code is then built on the host, though without secrets: look at it first.
    What is pushed to the pull request later is not approved.
    """
    found = session.project(project)
    waiting = session.client.get(f"projects/{found['id']}/approvals")["data"]
    if number is None:
        rows = ((f"#{row['number']}", row["sha"], row["branch"]) for row in waiting)
        session.show(waiting, output.table(("PULL", "COMMIT", "BRANCH"), rows))
        return
    if not sha:
        sha = next((row["sha"] for row in waiting if row["number"] == number), "")
        if not sha:
            raise UserError("pull-request-not-found", f"#{number} waits for no approval.")
        click.confirm(f"Build {sha} of #{number}?", abort=True, err=True)
    path = f"projects/{found['name']}/pulls/{number}/approve"
    build = session.client.send("POST", path, {"sha": sha})["data"]
    session.show(build, [f"Approved: deploystack logs -f {build['id']}"])
