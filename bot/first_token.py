"""The first administrator's token: made once, on an empty database, for whoever starts the bot.

It is printed to a terminal, never to a log; where there is none it lies in
DATA_DIR/admin-token, which only the bot's own account can read, until it is used.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from bot.errors import UserError
from bot.models import audit, tokens, users
from bot.models.database import Database
from bot.models.tables import Token
from bot.models.tokens import Scope
from bot.settings import Settings

_ACTOR = "this machine"


def make_if_first(settings: Settings, database: Database) -> str:
    """A token, where nobody has one yet; empty: somebody has. Also kept in a file."""
    with database.write():
        if not users.nobody_yet():
            return ""
        secret = _make("first start")
    path = path_of(settings)
    path.unlink(missing_ok=True)  # of an instance that was emptied
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret}\n")
    return secret


def make_another(database: Database, name: str) -> str:
    """Another token of the user `admin`, for an operator at the machine who lost theirs."""
    with database.write():
        return _make(name)


def path_of(settings: Settings) -> Path:
    return settings.DATA_DIR / "admin-token"


def accept(secret: str, settings: Settings, database: Database) -> Token:
    """The row of a token that is valid now; when the first one is used, its file goes.

    Raises `UserError`: `unauthorized`.
    """
    token = tokens.find(secret, database)
    if token is None:
        raise UserError("unauthorized", "The token is not valid, or no longer.")
    if token.last_used_at is None:
        forget(settings, secret)
    return token


def forget(settings: Settings, secret: str) -> None:
    """Remove the file, if it holds this token: whoever used it has it."""
    path = path_of(settings)
    try:
        if hmac.compare_digest(path.read_text().strip(), secret):
            path.unlink(missing_ok=True)
    except OSError:
        return  # it is gone already, or was never here


def _make(name: str) -> str:
    admin = users.first_admin()
    token, secret = tokens.create(name, Scope.ADMIN, user_id=admin.id)
    audit.note(_ACTOR, "token.create", token.id, name=name, scope=Scope.ADMIN, user=admin.login)
    return secret
