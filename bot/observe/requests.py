"""An id for each request, in every line that is logged meanwhile and in the answer.

A front server's own id is kept, so that its log and ours can be laid side by side.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from bot.observe.context import carrying

Environ = dict[str, Any]
WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_NAME = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")


def identified(application: WsgiApplication) -> WsgiApplication:
    """The same application, with `X-Request-Id` in every answer."""

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request = given if _GIVEN.fullmatch(given) else os.urandom(8).hex()

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, (_NAME, request)], *rest)

        with carrying(request=request):
            return application(environ, started)

    return call
