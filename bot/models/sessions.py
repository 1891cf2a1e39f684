"""Who is signed in to the dashboard: sessions that rest on a token, and end with it.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

import hashlib
import secrets

from bot.models.ids import now
from bot.models.tables import Session, Token
from bot.models.tokens import valid

LIFE = 7 * 24 * 3600 * 1000  # ms


def begin(token_id: str) -> str:
    """A new session's secret, of which only the digest is kept."""
    secret = secrets.token_urlsafe(32)
    time = now()
    Session.create(digest=_digest(secret), token=token_id, created_at=time, expires_at=time + LIFE)
    return secret


def token_of(secret: str) -> Token | None:
    """The token that a session rests on, if both are valid now."""
    time = now()
    session: Session | None = Session.get_or_none(
        Session.digest == _digest(secret), Session.expires_at > time
    )
    return valid(Token.id == session.token_id) if session is not None else None


def end(secret: str) -> None:
    Session.delete().where(Session.digest == _digest(secret)).execute()


def forget_expired(time: int) -> None:
    """Drop what had expired at `time` (ms)."""
    Session.delete().where(Session.expires_at <= time).execute()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
