"""The task queues: Huey on a SQLite file.

Two of them, so that a long build never holds up a status: `builds`, and `chores`
for everything short (the outbox, the minute's housekeeping). Only ids travel
through a queue; what is to be done is in the database, and a lost or repeated
message changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

from bot.errors import InvalidSetting


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Messages as JSON: Huey's pickles would run whatever somebody put into the queue."""

    def _serialize(self, data: Any) -> bytes:
        return msgspec.json.encode(tuple(data) if isinstance(data, Message) else data)

    def _deserialize(self, data: bytes) -> Any:
        fields = msgspec.json.decode(data)
        return Message(*fields) if isinstance(fields, list) else fields


def open_queue(url: str, name: str) -> SqliteHuey:
    """The queue `name` at `url` (`sqlite:///path`); raises `InvalidSetting`."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or not parts.path:
        raise InvalidSetting(
            "QUEUE_URL", f"cannot use {parts.scheme or url!r}", "Use sqlite:///path."
        )
    path = Path(parts.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteHuey(
        name,
        filename=str(path),
        serializer=JsonSerializer(),
        results=False,
        # The queue is a wake-up call: after a power cut the worker reads the database.
        fsync=False,
        timeout=30,
    )
