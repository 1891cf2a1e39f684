"""Encryption of what must be kept and must not be read: projects' variables.

Fernet (AES-128-CBC with HMAC-SHA256), by keys out of SECRETS_KEY: the first encrypts,
all of them decrypt, so that `new,old` rotates. https://cryptography.io/en/latest/fernet/
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from bot.errors import SystemFault
from bot.secret import Secret, kept_secret
from bot.settings import Settings


class Sealing:
    """Seals texts under one key, and opens what any of the keys has sealed."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._fernet = MultiFernet([Fernet(_key(secret)) for secret in keys])

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> Secret:
        """Raises `SystemFault` where no key fits."""
        try:
            return Secret(self._fernet.decrypt(sealed.encode()).decode())
        except InvalidToken:
            raise SystemFault(
                "wrong-key",
                "A variable was encrypted with a key that is not in SECRETS_KEY.",
                "Add the old key after a comma.",
            ) from None

    def seal_again(self, sealed: str) -> str:
        """The same content under the first key. Raises `SystemFault` where no key fits."""
        return self.seal(self.open(sealed).reveal())


def sealing_from(settings: Settings) -> Sealing:
    """By the keys of the settings; in development, one is made and kept in DATA_DIR.

    Raises `SystemFault` in production without a key: one beside the data it protects
    would protect nothing.
    """
    if settings.SECRETS_KEY:
        return Sealing(settings.SECRETS_KEY)
    if settings.production:
        raise SystemFault(
            "key-missing",
            "Variables cannot be kept: there is no SECRETS_KEY.",
            "Make one with `openssl rand -hex 32`.",
        )
    return Sealing([kept_secret(settings.DATA_DIR / "secrets-key")])


def _key(secret: Secret) -> bytes:
    """Any text of enough randomness is a key; Fernet wants 32 bytes."""
    return base64.urlsafe_b64encode(hashlib.sha256(secret.reveal().encode()).digest())
