"""The database as one file, taken while the bot runs, and put back into an empty one.

SQLite by its own backup interface (https://www.sqlite.org/backup.html), PostgreSQL by pg_dump
and pg_restore (https://www.postgresql.org/docs/current/app-pgdump.html). Both see one moment.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from bot.errors import SystemFault, UserError

_SQLITE = "database.sqlite"
_POSTGRES = "database.pgdump"
# libpq's variables: on a command line every account of the machine could read the password.
# https://www.postgresql.org/docs/current/libpq-envars.html
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


def dump(url: str, folder: Path) -> Path:
    """Write the database of this URL into `folder`; answers the file. Raises `SystemFault`."""
    if urlsplit(url).scheme == "sqlite":
        return _dump_sqlite(Path(urlsplit(url).path), folder / _SQLITE)
    target = folder / _POSTGRES
    draft = target.with_suffix(".part")
    _run(("pg_dump", "--format=custom", "--no-owner", "--file", str(draft)), url)
    os.replace(draft, target)
    return target


def load(url: str, folder: Path) -> None:
    """Fill the empty database of this URL from what `dump` wrote.

    Raises `UserError` where there is something in it already, or the dump is of the other kind.
    """
    wanted = _SQLITE if urlsplit(url).scheme == "sqlite" else _POSTGRES
    source = folder / wanted
    if not source.is_file():
        raise UserError(
            "backup-of-another-kind",
            f"There is no {wanted} in {folder}.",
            "Restore into the kind of database that the backup was taken of (DATABASE_URL).",
        )
    if wanted == _POSTGRES:
        command = ("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction")
        _run((*command, "--dbname", _parameters(url).get("PGDATABASE", ""), str(source)), url)
        return
    target = Path(urlsplit(url).path)
    if target.exists():
        raise UserError(
            "database-not-empty",
            f"There is a database at {target} already.",
            "Restore into a new DATA_DIR, or move that file away first.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".restoring")
    shutil.copyfile(source, draft)
    draft.chmod(0o600)
    os.replace(draft, target)


def _dump_sqlite(source: Path, target: Path) -> Path:
    if not source.is_file():
        raise UserError(
            "nothing-to-back-up",
            f"There is no database at {source}.",
            "Set DATA_DIR (or DATABASE_URL) to what the bot runs with.",
        )
    draft = target.with_suffix(".part")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(source)) as of, closing(sqlite3.connect(draft)) as to:
            draft.chmod(0o600)
            of.backup(to)
            # One file, wherever it is carried.
            to.execute("PRAGMA journal_mode = delete")
    except sqlite3.Error as error:
        raise SystemFault("backup-failed", f"The database could not be copied: {error}") from None
    os.replace(draft, target)
    return target


def _run(command: tuple[str, ...], url: str) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise UserError(
            "program-missing",
            f"{command[0]} is not on this machine.",
            "Install PostgreSQL's client programs (Debian: apt-get install postgresql-client).",
        )
    environ = {**os.environ, **_parameters(url)}
    done = subprocess.run(
        (program, *command[1:]), env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[0]
    if "already exists" in done.stderr:
        raise UserError(
            "database-not-empty",
            f"The database has tables already: {said}",
            "Restore into a new database (createdb), or drop that one first.",
        )
    raise SystemFault("backup-failed", f"{command[0]} failed: {said}")


def _parameters(url: str) -> dict[str, str]:
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict("postgresql" + url[url.index("://") :])
    return {_VARIABLES[name]: str(given[name]) for name in _VARIABLES if given.get(name)}
