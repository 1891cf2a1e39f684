"""The key that deployments' provenance is signed with: where it comes from, and its use.

PROVENANCE_KEY, or a file in DATA_DIR that is made at the first start. What every key has
signed stays verifiable: public keys are kept in the database (`bot.models.provenance`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.dsse import PublicKey, public_of, sign
from bot.errors import InvalidSetting
from bot.secret import kept_secret
from bot.settings import Settings

_FILE = "provenance-key.pem"
_HINT = "Make one with `openssl genpkey -algorithm ed25519`."


class Signer:
    """Signs statements. The key is read, or made, when it is needed first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        given = self._settings.PROVENANCE_KEY
        text = (given or kept_secret(self._settings.DATA_DIR / _FILE, _new_key)).reveal()
        try:
            key = serialization.load_pem_private_key(text.encode(), password=None)
        except (TypeError, ValueError):
            raise InvalidSetting("PROVENANCE_KEY", "is no private key in PEM", _HINT) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidSetting("PROVENANCE_KEY", "is of another kind than Ed25519", _HINT)
        return key

    @property
    def public(self) -> PublicKey:
        """Raises `InvalidSetting`."""
        return public_of(self._key)

    def sign(self, statement: Mapping[str, Any]) -> str:
        """The envelope as JSON: what is served as `deploy.json`. Raises `InvalidSetting`."""
        payload = json.dumps(statement, separators=(",", ":"), ensure_ascii=False).encode()
        return json.dumps(sign(payload, self._key), separators=(",", ":"))


def _new_key() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )
