"""What tells every process, over Redis, that visitors may see something new.

SQLite tells its processes by itself; PostgreSQL does not. Whoever commits such a change
announces it, and processes that keep answers in memory ask the database again. A process
that does not hear Redis keeps nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot.errors import InvalidSetting
from bot.models.database import Database
from bot.settings import Settings

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_CHANNEL = "deploystack:changed"
# How many changes there were: what is kept in the cache is of one number (`bot.serve.lookups`).
GENERATION = "generation"
_SECONDS = 1.0  # that Redis may take to answer; how long one look for messages lasts
_PAUSE = 0.5  # seconds between attempts to connect
# Should an announcement be lost, what is kept is asked for again after this many seconds.
_LONGEST = 5


class Announcements:
    """One per process and Redis; safe to use from many threads, and after a fork."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._starting = threading.Lock()
        self._process = 0
        self._count = 0
        self._hears = False
        self._client = self._connection()

    def announce(self) -> None:
        """Tell all processes. What cannot be told is noticed after `_LONGEST` seconds."""
        from redis import RedisError

        self._count += 1  # ours, at once
        try:
            with self._client.pipeline() as both:
                both.incr(f"deploystack:{GENERATION}")
                both.publish(_CHANNEL, b"")
                both.execute()
        except RedisError as error:
            logger.warning("a change could not be announced: %s", error)

    def version(self) -> int | None:
        """A number that differs after every announcement; `None`: ask every time."""
        if self._process != os.getpid():
            self._start()
        if not self._hears:
            return None
        return self._count << 32 | int(time.monotonic()) // _LONGEST

    def _start(self) -> None:
        with self._starting:
            if self._process != os.getpid():
                self._hears = False
                self._client = self._connection()
                threading.Thread(target=self._listen, name="announcements", daemon=True).start()
                self._process = os.getpid()

    def _listen(self) -> None:
        from redis import RedisError

        while True:
            try:
                self._hear()
            except RedisError as error:
                self._hears = False
                logger.warning("announcements are not heard: %s", error)
                time.sleep(_PAUSE)

    def _hear(self) -> None:
        """Count announcements until the connection fails."""
        with self._connection() as client, client.pubsub() as heard:
            heard.subscribe(_CHANNEL)
            while True:
                message = heard.get_message(timeout=_SECONDS)
                if message is None:
                    heard.check_health()
                    continue
                # What happened before the subscription was confirmed may have been missed.
                self._count += 1
                self._hears = True

    def _connection(self) -> redis.Redis:
        from redis import Redis

        return Redis.from_url(
            self._url,
            socket_connect_timeout=_SECONDS,
            socket_timeout=_SECONDS,
            health_check_interval=2,
        )


def announce_changes(settings: Settings, database: Database) -> None:
    """Have a database that cannot tell of changes by itself do so, where there is a Redis."""
    scheme = urlsplit(settings.CACHE_URL).scheme
    if scheme not in {"", "memory", "redis", "rediss"}:
        raise InvalidSetting("CACHE_URL", f"cannot use {scheme!r}", "Use redis://host:port/0.")
    if database.shares_commits or scheme not in {"redis", "rediss"}:
        return
    announcements = Announcements(settings.CACHE_URL)
    database.announce = announcements.announce
    database.version = announcements.version
