"""Files that a server in front (nginx, Caddy) sends for us, out of the store.

The bot has decided everything by then: address, rules, protection, conditions, variant.
It names a content under a location that only the front server itself can reach.
https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers

It is not in charge of what a front server serves without asking (`bot.storage.front`).
"""

from __future__ import annotations

from typing import Any

from bot.serve.site import Representation

# Smaller ones are sent sooner than handed on.
_LEAST = 16 << 10  # bytes
# What deploy/nginx_store.conf carries over from our answer; nginx drops everything else.
CARRIED = frozenset(
    {
        "accept-ranges",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-security-policy",
        "content-type",
        "cross-origin-embedder-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "etag",
        "expires",
        "last-modified",
        "link",
        "permissions-policy",
        "referrer-policy",
        "vary",
        "x-content-type-options",
        "x-frame-options",
        "x-robots-tag",
    }
)


class Front:
    """`location` is where the front server finds the store's contents; empty: it does not."""

    def __init__(self, location: str) -> None:
        self._location = location

    def takes(self, environ: dict[str, Any], chosen: Representation) -> bool:
        """Whether the request came by a front server that can send `chosen` as we would.

        It looks at the request's conditions again, by what it knows of the file: not of
        our validators in time for If-Match and If-Unmodified-Since.
        """
        return (
            bool(self._location)
            and environ.get("HTTP_X_ACCEL_LOCATION") == self._location
            and chosen.size >= _LEAST
            and environ["REQUEST_METHOD"] == "GET"
            and "HTTP_IF_MATCH" not in environ
            and "HTTP_IF_UNMODIFIED_SINCE" not in environ
            and all(name.lower() in CARRIED for name, _ in chosen.headers)
        )

    def headers(self, chosen: Representation) -> list[tuple[str, str]]:
        """Our answer's headers: without a body, which they say where to find."""
        target = f"{self._location}{chosen.digest[:2]}/{chosen.digest[2:]}"
        return [*chosen.headers, ("X-Accel-Redirect", target), ("Content-Length", "0")]
