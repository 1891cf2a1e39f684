"""A real S3 server for tests, and a proxy before it that lets a share of the calls fail."""

from __future__ import annotations

import http.client
import random
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.http_servers import Listening, PatientHandler


class S3Server:
    """moto's server mode, on a free port. `buckets` are made as they are asked for."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        program = str(Path(sys.executable).with_name("moto_server"))
        self._process = subprocess.Popen(
            (program, "-H", "127.0.0.1", "-p", str(self.port)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "the S3 server does not start"
                time.sleep(0.05)

    def bucket(self, name: str, endpoint: str = "") -> str:
        """The STORAGE_URL of a new, empty bucket."""
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        return f"s3://{name}/kept?endpoint={endpoint or self.url}&region=us-east-1"

    def environ(self, name: str) -> dict[str, str]:
        """The environment of a bot that keeps its files in a new bucket."""
        return {
            "STORAGE_URL": self.bucket(name),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def stop(self) -> None:
        self._process.kill()  # nothing of it is kept
        self._process.wait(20)


class FaultyProxy(Listening):
    """Passes calls on, but for a `share` of them, which fail in one of several ways.

    It answers 503, closes without an answer, or breaks off in the middle of one.
    """

    def __init__(self, port: int, share: float, host: str = "127.0.0.1") -> None:
        self.share = share
        self.away = False  # whether nobody answers at all
        self.failed = 0
        self.passed = 0
        self.slow = 0.0  # seconds before each answer
        dice = random.Random(5)
        proxy = self

        class Handler(PatientHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                time.sleep(proxy.slow)
                if proxy.away:
                    proxy.failed += 1
                    self.close_connection = True
                    return
                if dice.random() < proxy.share:
                    proxy.failed += 1
                    self.fail(dice.choice(("refuse", "close", "break off")), body)
                    return
                proxy.passed += 1
                self.reply(*self.passed_on(body))

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

            def fail(self, how: str, body: bytes) -> None:
                self.close_connection = True
                if how == "refuse":
                    self.reply(503, [("Retry-After", "0")], b"")
                elif how == "break off" and self.command == "GET":
                    status, headers, content = self.passed_on(body)
                    self.reply(status, headers, content, cut=len(content) // 2)

            def passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                return answer.status, answer.getheaders(), content

            def reply(
                self,
                status: int,
                headers: list[tuple[str, str]],
                content: bytes,
                cut: int | None = None,
            ) -> None:
                self.send_response_only(status)
                length = dict(headers).get("Content-Length") or str(len(content))
                for name, value in headers:
                    if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content if cut is None else content[:cut])

        super().__init__(Handler, host)
