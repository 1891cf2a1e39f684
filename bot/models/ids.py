"""Ids that can be typed, put into a host name, and sorted by age."""

from __future__ import annotations

import base64
import os
import time

# Crockford's alphabet in lower case: no i, l, o, u. https://github.com/ulid/spec
_TO_CROCKFORD = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz"
)


def new_id(prefix: str) -> str:
    """`<prefix>-<ULID>`: 48 bits of milliseconds, then 80 random bits, in lower case."""
    number = (time.time_ns() // 1_000_000).to_bytes(10, "big") + os.urandom(10)
    digits = base64.b32encode(number).translate(_TO_CROCKFORD)[-26:]
    return f"{prefix}-{digits.decode()}"


def now() -> int:
    """Milliseconds since 1970, UTC: how every table keeps time."""
    return time.time_ns() // 1_000_000
