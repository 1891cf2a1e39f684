"""The task queues: Huey on a SQLite file.

Two of them, so that a long build never holds up a status: `builds`, and `chores`
for everything short (the outbox, the minute's housekeeping). Only ids travel
through a queue; what is to be done is in the database, and a lost or repeated
message changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

from bot.errors import InvalidSetting


class _Envelope(msgspec.Struct, array_like=True):
    """Huey's message, field by field; its times are datetimes again after decoding."""

    id: str
    name: str
    eta: datetime | None = None
    retries: int = 0
    retry_delay: float = 0
    priority: float | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    on_complete: None = None
    on_error: None = None
    expires: datetime | float | None = None
    expires_resolved: datetime | None = None
    timeout: float | None = None
    chord_config: None = None
    retry_backoff: float = 0


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Messages as JSON: Huey's pickles would run whatever somebody put into the queue."""

    def _serialize(self, data: Any) -> bytes:
        return msgspec.json.encode(tuple(data))

    def _deserialize(self, data: bytes) -> Any:
        envelope = msgspec.json.decode(data, type=_Envelope)
        return Message(**msgspec.structs.asdict(envelope))


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
