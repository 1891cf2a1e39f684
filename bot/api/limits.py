"""How often somebody may ask: token buckets by caller, by address, and by kind of request.

Counted in this process, or in Redis for all processes together (CACHE_URL). A Redis
that does not answer stops nobody: limits protect the host, they are no lock.
https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
"""

from __future__ import annotations

import ipaddress
import logging
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from throttled import BaseStore, MemoryStore, RedisStore, Throttled, per_min

from bot.errors import InvalidSetting, UserError
from bot.settings import Settings

logger = logging.getLogger(__name__)

_MINUTE = 60  # seconds
_MOST_CALLERS = 1 << 16  # remembered by one process
_REDIS_SECONDS = 0.2  # that an answer of Redis may take
_SILENCE = 5.0  # seconds for which a Redis that failed is left alone


class RateLimited(UserError):
    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "rate-limited", "Too many requests.", f"Try again in {retry_after} seconds."
        )
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class State:
    """What is left of a bucket; times in seconds."""

    policy: str
    limit: int
    remaining: int
    reset_after: int
    retry_after: int
    limited: bool


class RateLimits:
    """Buckets of several policies, each with one bucket for every caller.

    `default`, `deploy` for what costs more, `contents` for the many small files of one
    deployment; and `address` for whatever comes from one address, by whichever token.
    """

    def __init__(self, settings: Settings) -> None:
        store = _store(settings.CACHE_URL)
        quotas = {
            "default": settings.RATE_LIMIT,
            "deploy": settings.DEPLOY_RATE_LIMIT,
            "contents": settings.CONTENTS_RATE_LIMIT,
            "address": settings.ADDRESS_RATE_LIMIT,
        }
        self._buckets = {
            policy: Throttled(
                using="token_bucket",
                quota=per_min(limit, burst=limit),
                store=store,
                key_prefix=f"deploystack:{policy}",
            )
            for policy, limit in quotas.items()
            if limit > 0
        }
        self._silent_until = 0.0

    def take(self, policy: str, caller: str) -> State | None:
        """Count one request; `None`: there is no limit, or nobody to count."""
        bucket = self._buckets.get(policy)
        if bucket is None or time.monotonic() < self._silent_until:
            return None
        try:
            result = bucket.limit(caller)
        except Exception:
            # Of whatever kind: neither library promises which.
            logger.warning("rate limits are off: CACHE_URL does not answer", exc_info=True)
            self._silent_until = time.monotonic() + _SILENCE
            return None
        state = result.state
        return State(
            policy,
            state.limit,
            state.remaining,
            _whole(state.reset_after),
            max(1, _whole(state.retry_after)),
            result.limited,
        )


def limit_requests(application: Flask, settings: Settings) -> None:
    """Apply the limits to all of an application's routes that ask who is calling.

    Programs on this machine itself are not counted: they are the operator's.
    """
    limits = RateLimits(settings)

    @application.before_request
    def count() -> None:
        caller = g.get("caller")
        if caller is not None and caller.key != "local":
            _charge(limits, "address", network_of(request.remote_addr))
            _charge(limits, _policy(), f"token:{caller.key}")

    def count_stranger() -> None:
        _charge(limits, _policy(), f"address:{network_of(request.remote_addr)}")

    application.extensions["count_stranger"] = count_stranger

    @application.after_request
    def tell(response: Response) -> Response:
        states: list[State] = g.get("rate_limits", [])
        if states:
            response.headers["RateLimit-Policy"] = ", ".join(
                f'"{state.policy}";q={state.limit};w={_MINUTE}' for state in states
            )
            response.headers["RateLimit"] = ", ".join(
                f'"{state.policy}";r={state.remaining};t={state.reset_after}' for state in states
            )
        return response


def network_of(address: str | None) -> str:
    """Whom an address stands for: with IPv6, everybody has a whole /64 of them."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


def _charge(limits: RateLimits, policy: str, caller: str) -> None:
    state = limits.take(policy, caller)
    if state is None:
        return
    # The one that is of most interest first.
    g.rate_limits = [state, *g.get("rate_limits", [])]
    if state.limited:
        raise RateLimited(state.retry_after)


def _policy() -> str:
    if request.path.startswith("/api/v1/contents/"):
        return "contents"
    deploys = request.path in {"/deploy", "/api/v1/deployments"}
    return "deploy" if deploys and request.method == "POST" else "default"


def _store(url: str) -> BaseStore:
    """Raises `InvalidSetting`."""
    if not url:
        return MemoryStore(options={"MAX_SIZE": _MOST_CALLERS})
    if urlsplit(url).scheme not in {"redis", "rediss"}:
        raise InvalidSetting("CACHE_URL", f"cannot use {url!r}", "Use redis://host:port/number.")
    options = {"SOCKET_TIMEOUT": _REDIS_SECONDS, "SOCKET_CONNECT_TIMEOUT": _REDIS_SECONDS}
    return RedisStore(server=url, options=options)


def _whole(seconds: float) -> int:
    return int(-(-seconds // 1))
