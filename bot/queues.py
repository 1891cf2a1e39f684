"""The task queues: Huey on a SQLite file, or on Redis for many machines.

Two of them, so that a long build never holds up a status: `builds`, and `chores`
for everything short (the outbox, the minute's housekeeping). Only ids travel
through a queue; what is to be done is in the database, and a lost or repeated
message changes nothing.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from huey import Huey, RedisHuey, SqliteHuey
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


# How long Redis may take to connect, and to answer. Waiting for work is answered once a second.
_REDIS_SECONDS = 5.0


def open_queue(url: str, name: str) -> Huey:
    """The queue `name` at `url` (`sqlite:///path`, `redis://` or `rediss://host:port/number`).

    Raises `InvalidSetting`; a Redis that does not answer shows when the queue is used.
    """
    parts = urlsplit(url)
    if parts.scheme in {"redis", "rediss"}:
        return _on_redis(url, name)
    if parts.scheme != "sqlite" or not parts.path:
        raise InvalidSetting(
            "QUEUE_URL",
            f"cannot use {parts.scheme or url!r}",
            "Use sqlite:///path or redis://host:port/0.",
        )
    path = Path(parts.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
    return SqliteHuey(
        name,
        filename=str(path),
        serializer=JsonSerializer(),
        results=False,
        # The queue is a wake-up call: after a power cut the worker reads the database.
        fsync=False,
        timeout=30,
    )


def _on_redis(url: str, name: str) -> RedisHuey:
    """Messages that were put in stay there as long as Redis keeps its promises; the worker
    finds in the database what a lost one was about.

    Connections are opened when they are needed, and again after Redis was restarted.
    """
    from redis import ConnectionPool
    from redis.backoff import ExponentialBackoff
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import TimeoutError as RedisTimeoutError
    from redis.retry import Retry

    try:
        pool = ConnectionPool.from_url(
            url,
            socket_connect_timeout=_REDIS_SECONDS,
            socket_timeout=_REDIS_SECONDS,
            health_check_interval=30,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3),
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
        )
    except ValueError as error:
        raise InvalidSetting("QUEUE_URL", str(error), "Use redis://host:port/0.") from None
    return RedisHuey(
        name,
        connection_pool=pool,
        serializer=JsonSerializer(),
        results=False,
        # A consumer is woken by Redis itself.
        blocking=True,
        read_timeout=1,
    )
