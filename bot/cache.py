"""What processes spare themselves from asking twice: small values, for a bounded time.

In Redis (CACHE_URL) for all machines, else in this process. Whoever uses it must do as well
without: a value may be gone at any time, and a Redis that does not answer holds nothing, is
not waited for, and fails nobody. It is not in charge of what is worth keeping.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

T = TypeVar("T")

LARGEST = 1 << 20  # bytes of one value; a larger one is not kept
_PREFIX = "deploystack:"
_ROOM = 16 << 20  # bytes, of the values that one process keeps for itself
# Nobody tells a process what others have changed: what it keeps for itself, it keeps briefly.
_BRIEFLY = 5.0  # seconds
_ANSWER = 0.25  # seconds that Redis may take
_SILENCE = 2.0  # seconds that a Redis that failed is not asked again
_CONNECTIONS = 32


class Cache(Protocol):
    """Safe for many threads, and after a fork. `shared`: other machines see it too."""

    shared: bool

    def get(self, *keys: str) -> Sequence[bytes | None]:
        """The values of all keys, as of one moment; `None`: not kept (any more)."""

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value, in place of another one: for whoever has just made it."""

    def add(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value unless there is one: for whoever has read it a moment ago."""

    def forget(self, key: str) -> None: ...


class MemoryCache:
    """Of this process; the least recently used first to go."""

    shared = False

    def __init__(self, room: int = _ROOM, clock: Callable[[], float] = time.monotonic) -> None:
        """`room`: bytes of all values together."""
        self._room = room
        self._clock = clock
        self._lock = threading.Lock()
        self._used = 0
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def get(self, *keys: str) -> Sequence[bytes | None]:
        with self._lock:
            return [self._get(key) for key in keys]

    def put(self, key: str, value: bytes, seconds: float) -> None:
        with self._lock:
            self._drop(key)
            if len(value) > LARGEST:
                return
            self._kept[key] = value, self._clock() + min(seconds, _BRIEFLY)
            self._used += len(value)
            while self._used > self._room:
                self._drop(next(iter(self._kept)))

    def add(self, key: str, value: bytes, seconds: float) -> None:
        if self.get(key) == [None]:
            self.put(key, value, seconds)

    def forget(self, key: str) -> None:
        with self._lock:
            self._drop(key)

    def _get(self, key: str) -> bytes | None:
        value, until = self._kept.get(key, (None, 0.0))
        if value is None or until <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return value

    def _drop(self, key: str) -> None:
        value, _ = self._kept.pop(key, (b"", 0.0))
        self._used -= len(value)


class RedisCache:
    """Of all machines. Every value has its time, so Redis may drop it (`volatile-lru`)."""

    shared = True

    def __init__(self, url: str) -> None:
        from redis import Redis

        self._silent_until = 0.0
        self._client: redis.Redis = Redis.from_url(
            url,
            socket_connect_timeout=_ANSWER,
            socket_timeout=_ANSWER,
            health_check_interval=30,
            max_connections=_CONNECTIONS,
        )

    def get(self, *keys: str) -> Sequence[bytes | None]:
        nothing: list[bytes | str | None] = [None] * len(keys)
        found = self._ask(lambda redis: redis.mget([_PREFIX + key for key in keys]), nothing)
        return [value if isinstance(value, bytes) else None for value in found]

    def put(self, key: str, value: bytes, seconds: float) -> None:
        if len(value) > LARGEST:
            self.forget(key)
            return
        self._ask(lambda redis: redis.set(_PREFIX + key, value, px=int(seconds * 1000)), None)

    def add(self, key: str, value: bytes, seconds: float) -> None:
        if len(value) > LARGEST:
            return
        milliseconds = int(seconds * 1000)
        self._ask(lambda redis: redis.set(_PREFIX + key, value, px=milliseconds, nx=True), None)

    def forget(self, key: str) -> None:
        self._ask(lambda redis: redis.delete(_PREFIX + key), None)

    def _ask(self, question: Callable[[redis.Redis], T], otherwise: T) -> T:
        from redis import RedisError

        if time.monotonic() < self._silent_until:
            return otherwise
        try:
            return question(self._client)
        except RedisError as error:
            self._silent_until = time.monotonic() + _SILENCE
            logger.warning("the cache does not answer: %s", error)
            return otherwise


def open_cache(url: str) -> Cache:
    """`redis://` or `rediss://host:port/number`; anything else: this process's memory."""
    if urlsplit(url).scheme in {"redis", "rediss"}:
        return RedisCache(url)
    return MemoryCache()
