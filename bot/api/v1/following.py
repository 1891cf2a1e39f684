"""A log as server-sent events. https://html.spec.whatwg.org/multipage/server-sent-events.html

A follower keeps a thread of the web process for as long as it listens, so there are
only so many, and none listens for ever: clients connect again by themselves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from flask import Response, request

from bot.errors import SystemFault
from bot.logs import Logs
from bot.models import deployments
from bot.models.status import ACTIVE
from bot.settings import Settings

MEDIA_TYPE = "text/event-stream"
_LOOK = 0.2  # seconds
_LOOK_AT_SHARED = 0.5  # seconds; workers write no oftener
_LONGEST = 300.0  # seconds
_QUIET = 15.0  # seconds after which proxies are shown that the connection lives


class Followers:
    """All that listen to one process: at most half of its threads."""

    def __init__(self, settings: Settings) -> None:
        self._logs = Logs(settings)
        self._places = threading.Semaphore(max(1, settings.WEB_THREADS // 2))

    def stream(self, build_id: str) -> Response:
        """The log from `Last-Event-ID` (a byte offset) on, until the build ends.

        Raises `SystemFault` where too many listen already.
        """
        if not self._places.acquire(blocking=False):
            raise SystemFault("too-many-followers", "Too many logs are being followed now.")
        given = request.headers.get("Last-Event-ID", "")
        start = int(given) if given.isdecimal() and len(given) < 18 else 0
        response = Response(_events(build_id, self._logs, start), mimetype=MEDIA_TYPE)
        response.call_on_close(self._places.release)
        response.headers["X-Accel-Buffering"] = "no"
        return response


def _events(build_id: str, logs: Logs, offset: int) -> Iterator[bytes]:
    end = time.monotonic() + _LONGEST
    told = time.monotonic()
    yield b"retry: 1000\n\n"
    while time.monotonic() < end:
        # In this order: what is written before the build ends is read after that is seen.
        build = deployments.find_build(build_id)
        if build is None:
            return
        *lines, _unfinished = logs.read(build, offset).split(b"\n")
        for line in lines:
            offset += len(line) + 1
            text = line.replace(b"\r", b" ")
            yield b"id: %d\nevent: line\ndata: %s\n\n" % (offset, text)
            told = time.monotonic()
        if build.status not in ACTIVE:
            yield b"event: end\ndata: %s\n\n" % str(build.status).encode()
            return
        if time.monotonic() - told > _QUIET:
            yield b": still here\n\n"
            told = time.monotonic()
        time.sleep(_LOOK_AT_SHARED if logs.shared else _LOOK)
