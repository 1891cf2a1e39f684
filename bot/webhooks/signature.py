"""Whether a delivery comes from somebody who knows the secret. Pure, and fails closed.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from bot.secret import Secret

_PREFIX = "sha256="


def sign(body: bytes, secret: Secret) -> str:
    """The `X-Hub-Signature-256` header of a body."""
    return _PREFIX + hmac.digest(secret.reveal().encode(), body, "sha256").hex()


def verify_signature(body: bytes, header: str | None, secrets: Sequence[Secret]) -> bool:
    """Whether `header` signs exactly these bytes with one of the secrets.

    The bytes must be those that were received: JSON that was parsed and written again
    has another signature. Two secrets are valid while one replaces the other.
    """
    if header is None or not header.startswith(_PREFIX) or not header.isascii():
        return False
    # Every secret is tried, so that the time taken does not say which one fits.
    matches = [hmac.compare_digest(sign(body, secret), header) for secret in secrets if secret]
    return any(matches)
