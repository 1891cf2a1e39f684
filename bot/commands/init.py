"""`deploystack init`: link a folder to a project, and say what its build would be."""

from __future__ import annotations

from pathlib import Path

import click

from bot.commands import link, output
from bot.commands.endings import explained
from bot.commands.output import json_option
from bot.commands.session import open_session, server_option
from bot.errors import UserError

_FILE = "deploystack.toml"
_STARTER = """\
# What DeployStack is to do with this folder; docs/configuration.md has every key.
# Whatever is not said here is detected. What was detected on this day:
#
{detected}
# [build]
# command = "npm run build"
# output = "dist"
"""


@click.command()
@click.argument(
    "folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--project", default="", metavar="NAME", help="Default: the folder's name.")
@server_option
@json_option
@explained
def init(folder: Path, project: str, server: str, as_json: bool) -> None:
    """Link FOLDER to a project, and write a deploystack.toml where there is none.

    The project is made where it does not exist and the token may do so; else the first
    deployment makes it.
    """
    from bot.uploads.names import project_name

    session = open_session(server, as_json, folder)
    try:
        name = session.project_name(project) or project_name(folder.resolve().name)
        made = False
        if not session.client.get("projects", name=name)["data"]:
            try:
                session.client.send("POST", "projects", {"name": name})
                made = True
            except UserError as error:
                if error.code != "forbidden":
                    raise
        link.write(folder, link.Link(session.client.url, name))
    finally:
        session.client.close()
    wrote = _write_starter(folder)
    told = {"project": name, "server": session.client.url, "made": made, "wrote": wrote}
    lines = [f"{folder.resolve()} is linked to {name} on {session.client.url}."]
    lines += [f"Wrote {_FILE}; `deploystack check` shows the plan."] if wrote else []
    output.result(told, as_json, [*lines, "Next: deploystack deploy"])


def _write_starter(folder: Path) -> bool:
    from bot.local.check import lines

    target = folder / _FILE
    if target.exists():
        return False
    try:
        detected = list(lines(folder, "production"))[1:]
    except UserError as error:  # what cannot be built yet can be linked
        detected = [f"{error.message} {error.hint}".strip()]
    commented = "".join(f"#   {line}\n" for text in detected for line in text.splitlines())
    target.write_text(_STARTER.format(detected=commented + "#"))
    return True
