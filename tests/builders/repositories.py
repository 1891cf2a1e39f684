"""Real repositories, and a real Git server over HTTP that wants a password."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Repository:
    """A repository on this machine to commit files to."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *arguments: str, content: bytes | None = None) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        settings = ("-c", "user.name=A", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
        finished = subprocess.run(
            ("git", *settings, *arguments),
            cwd=self.path,
            env=environment,
            input=content,
            check=True,
            capture_output=True,
        )
        return finished.stdout.decode().strip()

    def commit(self, files: Mapping[str, str | bytes] | None = None, message: str = "x") -> str:
        """Write files, commit all there is, and answer the SHA."""
        for name, content in (files or {}).items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


class GitServer:
    """`git http-backend` behind Python's HTTP server: `<url>/<owner>/<name>.git`.

    With a token it asks for it; `protocol` 0 makes it an old server, which hands out
    named commits only. `requests` keeps (path, Authorization) of all that was asked.
    """

    def __init__(self, root: Path, token: str = "", protocol: int = 2) -> None:
        self.requests: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self, root, token, protocol)

            do_POST = do_GET  # noqa: N815 (the library's names)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> GitServer:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(
        self, handler: BaseHTTPRequestHandler, root: Path, token: str, protocol: int
    ) -> None:
        given = handler.headers.get("Authorization", "")
        self.requests.append((handler.path, given))
        expected = "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
        if token and given != expected:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="git"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        http_backend(handler, root, protocol)


def http_backend(handler: BaseHTTPRequestHandler, root: Path, protocol: int = 2) -> None:
    """Answer a request as a Git server would. https://git-scm.com/docs/git-http-backend"""
    parts = urlsplit(handler.path)
    length = int(handler.headers.get("Content-Length") or 0)
    body = handler.rfile.read(length)
    if handler.headers.get("Transfer-Encoding") == "chunked":
        while size := int(handler.rfile.readline(), 16):
            body += handler.rfile.read(size)
            handler.rfile.readline()
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "REQUEST_METHOD": handler.command,
        "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
    }
    if protocol == 2:
        environment["GIT_PROTOCOL"] = handler.headers.get("Git-Protocol", "")
    backend = subprocess.run(
        ("git", "http-backend"), env=environment, input=body, capture_output=True, check=False
    )
    head, _, content = backend.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
    handler.send_response(int(headers.pop("Status", "200").split()[0]))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
