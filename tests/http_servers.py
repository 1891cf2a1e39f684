"""Servers that tests make up: in a thread, on a free port."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class PatientHandler(BaseHTTPRequestHandler):
    """Says nothing of its own, and minds nobody who hangs up."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is written in two parts

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # whoever asked is dead by now
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class Listening:
    """Answers by `handler` at `url`, until it is stopped."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], host: str) -> None:
        self._server = ThreadingHTTPServer((host, 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
