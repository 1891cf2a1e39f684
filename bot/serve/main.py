"""The previews process: nothing but previews, on their own port, by Granian.

    python -m bot.serve.main

Its own port is its own origin, so pages of previews share none with the dashboard
and the API, which this process does not even import.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bot.settings import Settings, load

if TYPE_CHECKING:
    from bot.serve.answers import Environ, StartResponse
    from bot.serve.application import Previews

# Of one worker. They are started when they are needed, and each is held for as long
# as a slow client takes to fetch a large file; answers from memory hold none.
_THREADS = 128
# KiB of SQLite's memory for each of them. What they ask is a few pages, which the system
# keeps as well, and they are not to take more than PREVIEW_CACHE_SIZE together.
_PAGE_CACHE = 256


def create_application(settings: Settings | None = None) -> Previews:
    """The WSGI application of one worker process."""
    from bot import drivers

    chosen = settings or load()
    with drivers.only_needed(chosen):
        from bot.announcements import announce_changes
        from bot.events import Bus
        from bot.models.database import connect
        from bot.serve.application import Previews
        from bot.storage.urls import open_store

    announce_changes(chosen, connect(chosen.DATABASE_URL, chosen.DATABASE_CONNECTIONS, _PAGE_CACHE))
    return Previews(open_store(chosen), chosen, Bus(), fallback=_nothing_else)


def _nothing_else(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What is no preview: nothing is here."""
    from bot.serve.answers import page
    from bot.serve.pages import page as own_page

    if environ.get("PATH_INFO") == "/healthz":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        return [b"ok\n"]
    body = own_page("Not found", "Previews are served here, at the address of their commit.")
    return page(environ, start_response, 404, body)


def main() -> None:
    """Serve until SIGTERM or SIGINT. Without PREVIEW_PORT there is nothing to do but wait."""
    settings = load()
    if not settings.PREVIEW_PORT:
        print("previews: PREVIEW_PORT is not set, so the web process serves them.", flush=True)  # noqa: T201
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        return
    from granian.constants import Interfaces
    from granian.server import Server

    Server(
        "bot.serve.main:create_application",
        address=settings.HOST,
        port=settings.PREVIEW_PORT,
        interface=Interfaces.WSGI,
        workers=settings.PREVIEW_WORKERS,
        blocking_threads=_THREADS,
        backlog=1024,
        factory=True,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=5,
    ).serve()


if __name__ == "__main__":
    main()
