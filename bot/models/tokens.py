"""Bearer tokens: made once, shown once, kept as a digest.

Callers hold a transaction (`database.write()`) around everything that writes, except
`find`, which notes a token's use by itself now and then.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum
from typing import Any

from peewee import JOIN

from bot.models.database import Database
from bot.models.ids import new_id, now
from bot.models.tables import Project, Token, User

# Tells what it is, to people and to scanners for leaked secrets.
PREFIX = "dst_"
_SHOWN = len(PREFIX) + 6
_NOTED_EVERY = 60_000  # ms


class Scope(StrEnum):
    """Each includes the one before."""

    READ = "read"
    DEPLOY = "deploy"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        ranks = list(Scope)
        return ranks.index(self) >= ranks.index(other)

    def smaller(self, other: Scope) -> Scope:
        return other if self.includes(other) else self


def create(
    name: str,
    scope: Scope,
    project_id: int | None = None,
    expires_at: int | None = None,
    user_id: int | None = None,
) -> tuple[Token, str]:
    """(the token's row, the token itself, which cannot be had again).

    Without a user it is the instance's (or the project's) own: its scope alone counts.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    token = Token.create(
        id=new_id("tok"),
        name=name,
        # 256 random bits need no slow hash: nobody tries them out.
        digest=_digest(secret),
        beginning=secret[:_SHOWN],
        scope=scope,
        project=project_id,
        user=user_id,
        created_at=now(),
        expires_at=expires_at,
    )
    return token, secret


def find(secret: str, database: Database) -> Token | None:
    """The row of a token that is valid now, with its project and user."""
    if not secret.startswith(PREFIX):
        return None
    token = valid(Token.digest == _digest(secret))
    time = now()
    if token is None:
        return None
    if token.last_used_at is None or time - token.last_used_at > _NOTED_EVERY:
        with database.write():
            Token.update(last_used_at=time).where(Token.id == token.id).execute()
    return token


def valid(condition: Any) -> Token | None:
    """The token that fulfils a condition, with its project and user, if it is valid now."""
    token: Token | None = (
        Token.select(Token, Project, User)
        .join(Project, JOIN.LEFT_OUTER)
        .switch(Token)
        .join(User, JOIN.LEFT_OUTER)
        .where(condition, Token.revoked_at.is_null())
        .first()
    )
    if token is None or (token.expires_at is not None and token.expires_at <= now()):
        return None
    return token


def revoke(token_id: str) -> bool:
    """End a token for good; `False`: there is no such valid token."""
    changed: int = (
        Token.update(revoked_at=now())
        .where(Token.id == token_id, Token.revoked_at.is_null())
        .execute()
    )
    return changed == 1


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
