"""Builds' logs in the database, in portions: how machines without a common folder share them.

A portion is written by whoever holds the build, so that an attempt that was given up adds
nothing to the log of the next. Callers hold a transaction around everything that writes.
"""

from __future__ import annotations

import zlib

from bot.models import sql
from bot.models.status import ACTIVE

_ADD = """
INSERT INTO log_parts (build_id, start, size, content)
SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM builds WHERE id = ? AND worker = ?)
ON CONFLICT (build_id, start) DO NOTHING
"""
_FROM = """
SELECT start, content FROM log_parts WHERE build_id = ? AND start + size > ? ORDER BY start
"""
_SIZE = "SELECT MAX(start + size) FROM log_parts WHERE build_id = ?"
_ENDED = f"""
SELECT 1 FROM builds WHERE id = ? AND worker = ?
    AND status NOT IN ({", ".join(f"'{status}'" for status in ACTIVE)})
"""


def add(build_id: str, holder: str, start: int, content: bytes) -> bool:
    """Keep a portion that begins at byte `start`; `False`: the build is another's by now."""
    packed = zlib.compress(content)
    added = sql.execute(_ADD, build_id, start, len(content), packed, build_id, holder).rowcount
    return bool(added)


def size(build_id: str) -> int:
    """How long the log is, in bytes."""
    found = sql.first(_SIZE, build_id)
    return int(found[0]) if found is not None and found[0] is not None else 0


def read(build_id: str, start: int = 0) -> bytes:
    """The log from byte `start` on."""
    found = b""
    for begins, content in sql.rows(_FROM, build_id, start):
        found += zlib.decompress(content)[max(0, start - begins) :]
    return found


def seal(build_id: str, holder: str) -> None:
    """Put the portions of a build that has ended together: one row, and better compressed."""
    if sql.first(_ENDED, build_id, holder) is None:
        return
    whole = read(build_id)
    sql.execute("DELETE FROM log_parts WHERE build_id = ?", build_id)
    if whole:
        add(build_id, holder, 0, whole)
