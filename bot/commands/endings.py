"""How commands end: exit codes, and errors in words. Scripts rely on both (docs/cli.md)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import Any, NoReturn

import click

from bot.errors import DeployStackError, SystemFault, UserError


class Exit(IntEnum):
    """2 is click's own, for a command line that cannot be understood."""

    DONE = 0
    YOURS = 1  # something that whoever gave the command can mend
    FAULT = 3  # the host's, or of the way to it: worth a retry
    BUILD_FAILED = 4
    NOT_ALLOWED = 5  # no token, a wrong one, or one that may not do this
    NOT_FOUND = 6
    INTERRUPTED = 130  # Ctrl-C, as shells count it


_CODES = {
    "build-not-ready": Exit.BUILD_FAILED,
    "forbidden": Exit.NOT_ALLOWED,
    "unauthorized": Exit.NOT_ALLOWED,
}


# What the host says to programs, to people at a terminal.
_HINTS = {"unauthorized": "`deploystack login URL` signs in, with a token of an administrator's."}


def exit_code(error: DeployStackError) -> Exit:
    if isinstance(error, SystemFault):
        return Exit.FAULT
    if error.code in _CODES:
        return _CODES[error.code]
    return Exit.NOT_FOUND if error.code.endswith("-not-found") else Exit.YOURS


def explained(command: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of ours end in words on stderr, with `--json` also in JSON on stdout."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        as_json = bool(options.get("as_json"))
        try:
            return command(*arguments, **options)
        except DeployStackError as error:
            _end(error, as_json)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] == "bot":
                raise
            _end(_bot_missing(error.name), as_json)
        except KeyboardInterrupt:
            sys.exit(Exit.INTERRUPTED)

    return run


def _bot_missing(library: str) -> DeployStackError:
    """`pip install .` brings what speaks to a host, and no more."""
    return UserError(
        "bot-not-installed",
        f"This command needs the bot itself, and {library} is not installed.",
        "`make setup` in the bot's folder installs all of it.",
    )


def _end(error: DeployStackError, as_json: bool) -> NoReturn:
    click.echo(f"deploystack: {error.message} [{error.code}]", err=True)
    for line in _more(error):
        click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps({"error": _told(error)}, indent=2, ensure_ascii=False))
    sys.exit(exit_code(error))


def _more(error: DeployStackError) -> list[str]:
    """The hint, and the fields of a request that the host found invalid."""
    problem = getattr(error, "problem", {})
    faults = [f"  {fault['field']}: {fault['message']}" for fault in problem.get("errors") or ()]
    hint = _HINTS.get(error.code, error.hint)
    return faults + ([hint] if hint else [])


def _told(error: DeployStackError) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    status = getattr(error, "status", None)
    return told | ({"status": status} if status is not None else {})
