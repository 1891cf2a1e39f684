"""Deployments' signed provenance, and the public keys of all that ever signed any.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from bot.models import sql
from bot.models.ids import now

_REMEMBER = """
INSERT INTO provenance (deployment_id, envelope, created_at) VALUES (?, ?, ?)
ON CONFLICT (deployment_id) DO UPDATE SET
    envelope = excluded.envelope, created_at = excluded.created_at
"""
_LIST_KEY = """
INSERT INTO signing_keys (id, public, created_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_REVOKE = "UPDATE signing_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"


def remember(deployment_id: str, envelope: str) -> None:
    """Keep a deployment's envelope, in place of an earlier one's."""
    sql.execute(_REMEMBER, deployment_id, envelope, now())


def of_deployment(deployment_id: str) -> str:
    """The envelope as JSON; empty: none was signed."""
    found = sql.first("SELECT envelope FROM provenance WHERE deployment_id = ?", deployment_id)
    return str(found[0]) if found is not None else ""


def list_key(key_id: str, public: str) -> None:
    """Name a key among those that sign; it stays so when another takes its place."""
    sql.execute(_LIST_KEY, key_id, public, now())


def revoke_key(key_id: str) -> bool:
    """Trust nothing any more that a key signed; `False`: there is no such key in force."""
    return bool(sql.execute(_REVOKE, now(), key_id).rowcount)


def public_keys() -> list[str]:
    """The public keys in force, the newest first."""
    found = sql.rows(
        "SELECT public FROM signing_keys WHERE revoked_at IS NULL ORDER BY created_at DESC, id"
    )
    return [str(row[0]) for row in found]
