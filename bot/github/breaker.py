"""A circuit breaker: GitHub that is down is asked once in a while, not once for each status.

Each entry of the outbox has a backoff of its own; during an outage hundreds of them would
still each wait for a time-out of their own. The breaker's state is shared through Redis
where there is one (CACHE_URL), so that every worker learns of an outage from the first.

https://github.com/danielfm/pybreaker
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bot.errors import SystemFault

if TYPE_CHECKING:
    import pybreaker

logger = logging.getLogger(__name__)

FAILURES = 5  # in a row, of whichever repositories
PAUSE = 30.0  # seconds until one request is tried again


class Outage(Exception):
    """GitHub failed repeatedly a moment ago, and was not asked."""


class Breaker:
    """Lets requests through until too many in a row have failed."""

    def __init__(
        self,
        cache_url: str = "",
        failures: int = FAILURES,
        pause: float = PAUSE,
        tripped: Callable[[], None] = lambda: None,
    ) -> None:
        """`tripped` is called when requests are held back, in this process."""
        self.pause = pause
        self._cache_url = cache_url
        self._failures = failures
        self._tripped = tripped

    def call(self, ask: Callable[[], None]) -> None:
        """Raises `Outage` where `ask` was not called, else what `ask` raises."""
        from pybreaker import CircuitBreakerError

        try:
            self._breaker.call(ask)
        except CircuitBreakerError:
            raise Outage from None

    @cached_property
    def _breaker(self) -> pybreaker.CircuitBreaker:
        """Made when it is first needed: the library loads Redis's, whoever uses it."""
        import pybreaker

        return pybreaker.CircuitBreaker(  # type: ignore[type-var]
            fail_max=self._failures,
            reset_timeout=self.pause,
            exclude=[lambda error: not is_outage(error)],
            listeners=[_Listener(self.pause, self._tripped)],
            state_storage=_storage(self._cache_url),
            throw_new_error_on_trip=False,
        )


def is_outage(error: BaseException) -> bool:
    """Whether an error says that GitHub, or the way to it, is down."""
    from github import GithubException

    if isinstance(error, GithubException):
        return error.status >= 500
    # Other faults are of our own services: GitHub need not be spared for them.
    return isinstance(error, OSError) or (
        isinstance(error, SystemFault) and error.code == "github-unreachable"
    )


class _Listener:
    """https://github.com/danielfm/pybreaker#event-listening"""

    def __init__(self, pause: float, tripped: Callable[[], None]) -> None:
        self._pause = pause
        self._tripped = tripped

    def before_call(self, *_: Any, **__: Any) -> None: ...

    def success(self, *_: Any) -> None: ...

    def failure(self, *_: Any) -> None: ...

    def state_change(self, _breaker: Any, _old: Any, new: Any) -> None:
        if new.name == "open":
            logger.warning("GitHub fails: it is not asked for %.0f s", self._pause)
            self._tripped()
        elif new.name == "closed":
            logger.info("GitHub answers again")


def _storage(cache_url: str) -> pybreaker.CircuitBreakerStorage:
    """In Redis, or in this process where there is none, or none that answers."""
    import pybreaker

    if cache_url.startswith(("redis://", "rediss://")):
        from redis import Redis, RedisError

        connection = Redis.from_url(cache_url, socket_timeout=1.0, socket_connect_timeout=1.0)
        try:
            return pybreaker.CircuitRedisStorage(
                pybreaker.STATE_CLOSED, connection, namespace="deploystack-github"
            )
        except RedisError:
            logger.warning("CACHE_URL does not answer: each worker notices outages by itself")
    return pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
