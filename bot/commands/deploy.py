"""`deploystack deploy`: a folder, an archive or a repository becomes a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from bot.api.client import Choice
from bot.commands import output
from bot.commands.endings import explained
from bot.commands.following import follow, outcome
from bot.commands.output import json_option
from bot.commands.session import Session, open_session, server_option
from bot.errors import UserError


@click.command()
@click.argument("source", metavar="[DIR|ZIP|URL]", default=".", type=click.Path())
@click.option("--prod", is_flag=True, help="Make it the project's production.")
@click.option("--project", default="", metavar="NAME", help="Default: the linked one, or its name.")
@click.option("--ref", default="", help="A label; of a repository, a branch, tag or SHA.")
@click.option("--wait/--no-wait", default=True, help="Wait for the build. Default: wait.")
@server_option
@json_option
@explained
def deploy(
    source: str, prod: bool, project: str, ref: str, wait: bool, server: str, as_json: bool
) -> None:
    """Deploy a folder, an archive, or a repository by its address; print where it is.

    Of a folder, only contents are sent that the host lacks; what .deploystackignore (or
    else .gitignore) names stays out. The host decides whether there is something to build.
    The address alone goes to standard output, the build's log to standard error.
    """
    path = Path(source)
    by_address = "://" in source
    folder = path if not by_address and path.is_dir() else None
    session = open_session(server, as_json, folder)
    try:
        name = session.project_name(project)
        choice = Choice(name or (_name_of(path) if folder else ""), ref, prod)
        if by_address:
            taken = session.client.deploy_repository(source, choice)
        elif folder is not None:
            with output.progress("Uploading") as step:
                taken = session.client.deploy_folder(folder, choice, step)
        elif path.is_file():
            with output.progress("Uploading", in_bytes=True) as step:
                taken = session.client.deploy_archive(path, choice, step)
        else:
            raise UserError(
                "source-missing", f"{source} is neither a folder, nor a file, nor an address."
            )
        _finish(session, taken, wait)
    finally:
        session.client.close()


def _finish(session: Session, taken: dict[str, Any], wait: bool) -> None:
    if taken["status"] != "ready" and wait:
        with output.busy(f"Building {taken['deployment_id']}") as say:
            follow(session.client, taken["build_id"], say)
        build = outcome(session.client, taken["build_id"])
        taken = taken | {"status": build["status"], "stages": build["stages"]}
    elif taken["status"] != "ready":
        output.note(f"Its build is queued: deploystack logs -f {taken['build_id']}")
    session.show(taken, [taken["url"]])


def _name_of(folder: Path) -> str:
    """A folder's name, as a project can have it."""
    from bot.uploads.names import project_name

    return project_name(os.path.basename(folder.resolve()))
