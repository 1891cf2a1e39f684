"""Ids that can be typed, put into a host name, and sorted by age."""

from __future__ import annotations

import os
import time

# Crockford's alphabet in lower case: no i, l, o, u. https://github.com/ulid/spec
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """`<prefix>-<ULID>`: 48 bits of milliseconds, then 80 random bits, in lower case."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}-{''.join(digits)}"


def now() -> int:
    """Milliseconds since 1970, UTC: how every table keeps time."""
    return time.time_ns() // 1_000_000
