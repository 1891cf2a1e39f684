"""Pages of any origin may use the API, with a token in hand.

There are no cookies that a page could make use of behind somebody's back, and
requests of browsers never pass as this machine's own (`authentication`). The bot's own
documentation pages have an origin of their own, too.
https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from flask import Flask, Response, request

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_TAKEN = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Range"
)
_SHOWN = "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After"
_KEPT = "600"  # seconds


def allow_pages(application: Flask) -> None:
    """Answer browsers' questions, before anybody is asked for a token."""

    @application.before_request
    def preflight() -> Response | None:
        asks = "Access-Control-Request-Method" in request.headers
        if request.method != "OPTIONS" or not asks:
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _TAKEN
        response.headers["Access-Control-Max-Age"] = _KEPT
        return response

    @application.after_request
    def allow(response: Response) -> Response:
        if "Origin" in request.headers:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = _SHOWN
        response.vary.add("Origin")
        return response
