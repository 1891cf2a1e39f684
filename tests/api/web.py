"""A web process as it is run, for tests over real sockets."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Web:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "WEB_WORKERS": "1",
        }
        self.log = folder / "web.log"
        command = (sys.executable, "-m", "gunicorn", "--config", "python:bot.gunicorn_settings")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                (*command, "bot.wsgi:application"), env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
            except OSError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)
            else:
                break

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def upload(self, archive: Path) -> Any:
        """As `curl -F file=@site.zip` does it."""
        head = (
            b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="site.zip"\r\n'
            b"Content-Type: application/zip\r\n\r\n"
        )
        tail = b"\r\n--boundary--\r\n"
        length = len(head) + archive.stat().st_size + len(tail)
        headers = {
            "Content-Type": "multipart/form-data; boundary=boundary",
            "Content-Length": str(length),
        }
        return self.post("/deploy", itertools.chain([head], chunks(archive), [tail]), headers)

    def post(self, path: str, body: Iterable[bytes], headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection("localhost", self.port, timeout=60)
        chunked = "Content-Length" not in headers
        if chunked:
            headers = headers | {"Transfer-Encoding": "chunked"}
        connection.request("POST", path, body, headers, encode_chunked=chunked)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def largest_memory(self) -> int:
        """The most that any of its processes has held so far, in bytes."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = []
        for pid in children.read_text().split():
            status = Path(f"/proc/{pid}/status").read_text()
            found.append(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10)
        return max(found)

    def get(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=10) as answer:
            content: bytes = answer.read()
            return content


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 16):
            yield chunk
