"""The web process as it is run: gunicorn, all parts, real sockets."""

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
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.uploads.archives import PAGE, zip_of

UPLOAD_SIZE = 200 << 20


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


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    started = Web(tmp_path_factory.mktemp("web"))
    yield started
    started.stop()


def test_an_uploaded_site_is_served_when_the_upload_is_answered(web: Web, tmp_path: Path) -> None:
    (tmp_path / "site.zip").write_bytes(zip_of({"index.html": PAGE}))
    answer = web.upload(tmp_path / "site.zip")
    assert web.get(answer["url"]) == PAGE
    assert b"Live at" in web.get(answer["log_url"])
    assert json.loads(web.get(answer["status_url"]))["data"]["status"] == "ready"


def test_an_upload_without_a_length_is_taken(web: Web, tmp_path: Path) -> None:
    (tmp_path / "site.zip").write_bytes(zip_of({"index.html": PAGE}))
    headers = {"Content-Type": "application/zip"}
    answer = web.post("/deploy?project=chunked", chunks(tmp_path / "site.zip"), headers)
    assert answer["project"] == "chunked"
    assert web.get(answer["url"]) == PAGE


def test_a_log_can_be_followed(web: Web, tmp_path: Path) -> None:
    (tmp_path / "site.zip").write_bytes(zip_of({"index.html": PAGE}))
    answer = web.upload(tmp_path / "site.zip")
    request = urllib.request.Request(
        f"{web.url}/api/v1/builds/{answer['build_id']}/log",
        headers={"Accept": "text/event-stream"},
    )
    with urllib.request.urlopen(request, timeout=10) as stream:
        assert stream.read().endswith(b"event: end\ndata: ready\n\n")


def test_a_large_upload_takes_little_memory_from_end_to_end(web: Web, tmp_path: Path) -> None:
    content = os.urandom(20 << 20)
    with zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
        archive.writestr("index.html", PAGE)
        for number in range(UPLOAD_SIZE // len(content)):
            archive.writestr(f"{number}.bin", content)
    del content
    before = web.largest_memory()
    answer = web.upload(tmp_path / "big.zip")
    assert answer["status"] == "ready"
    assert web.largest_memory() - before < 40 << 20
