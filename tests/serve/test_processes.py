"""The same answers from both servers that we run on, as real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.models.database import connect
from bot.models.projects import point_alias
from bot.models.status import AliasKind
from bot.settings import load
from bot.storage.urls import open_store
from bot.storage.variants import add_variants
from tests.serve.conftest import SHA, Deployer, Host, wait_until

ROOT = Path(__file__).parents[2]
BASE = f"/{SHA}/"
BIG = bytes(range(256)) * 16_000
FILES: dict[str, str | bytes] = {
    "index.html": "<h1>home</h1>" * 100,
    "about.html": "about",
    "docs/index.html": "docs",
    "404.html": "none",
    "letters.txt": "abcdefghij",
    "big.bin": BIG,
    "ü ñ.txt": "unicode",
    "_redirects": "/old/* /about 302",
}
COMMANDS = {
    "gunicorn": [
        "-m", "gunicorn", "--config", "python:bot.gunicorn_settings",
        "bot.serve.main:create_application()",
    ],
    "granian": ["-m", "bot.serve.main"],
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module", params=["disk", "s3"])
def storage(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of the store that is served from."""
    given: dict[str, str] = {}
    if request.param == "s3":
        given = request.getfixturevalue("s3_server").environ("served")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        yield given


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str]) -> Path:
    """A data folder with one deployment and one alias."""
    folder = tmp_path_factory.mktemp("data")
    settings = load({"DATA_DIR": str(folder)} | storage, None)
    database = connect(settings.DATABASE_URL)
    deployer = Deployer(open_store(settings))
    deployment_id = deployer.deploy(FILES)
    add_variants(deployer.store, deployment_id)
    point_alias(deployer.project().id, AliasKind.BRANCH, "main", deployment_id)
    database.close()
    return folder


@contextlib.contextmanager
def running(kind: str, data: Path, **given: str) -> Iterator[Host]:
    """One of the two servers with the previews of a data folder; `given` are settings."""
    port = str(free_port())
    environ = os.environ | {
        "DATA_DIR": str(data), "PORT": port, "PREVIEW_PORT": port, "PYTHONPATH": str(ROOT),
        "WEB_WORKERS": "1", "PREVIEW_WORKERS": "1",
    } | given  # fmt: skip
    with (data / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *COMMANDS[kind]],
            env=environ, cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip

    def up() -> bool:
        assert process.poll() is None, (data / "server.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                return bool(answer.read() == b"ok\n")
        except (urllib.error.URLError, OSError):
            return False

    wait_until(up)
    yield Host(int(port))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


@pytest.fixture(scope="module", params=["gunicorn", "granian"])
def server(request: pytest.FixtureRequest, data: Path) -> Iterator[Host]:
    with running(request.param, data) as host:
        yield host


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "body"),
    [
        ("GET", BASE, {}, 200, b"<h1>home</h1>" * 100),
        ("HEAD", BASE, {}, 200, b""),
        ("GET", f"{BASE}about", {}, 200, b"about"),
        ("GET", f"{BASE}docs", {}, 308, b""),
        ("GET", f"{BASE}nowhere", {}, 404, b"none"),
        ("GET", f"{BASE}big.bin", {}, 200, BIG),
        ("HEAD", f"{BASE}big.bin", {}, 200, b""),
        ("GET", f"{BASE}big.bin", {"Range": "bytes=100-99999"}, 206, BIG[100:100_000]),
        ("GET", f"{BASE}big.bin", {"Range": "bytes=4000000-"}, 206, BIG[4_000_000:]),
        ("GET", f"{BASE}letters.txt", {"Range": "bytes=20-"}, 416, b""),
        ("GET", f"{BASE}%C3%BC%20%C3%B1.txt", {}, 200, b"unicode"),
        ("GET", f"{BASE}old/x", {}, 302, b""),
        ("GET", f"{BASE}..%2f..%2fetc/passwd", {}, 404, b"none"),
        ("GET", f"{BASE}x%00y", {}, 400, None),
        ("POST", BASE, {"Content-Length": "0"}, 405, None),
        ("GET", "/~/octo-site/main/about", {}, 200, b"about"),
        ("GET", "/abcdef12/", {}, 404, None),
        ("GET", "/elsewhere", {}, 404, None),
    ],
)
def test_both_servers_answer_alike(
    server: Host, method: str, path: str, headers: dict[str, str], status: int, body: bytes | None
) -> None:
    answer = server.ask(method, path, headers)
    assert answer.status == status
    assert body is None or answer.body == body
    if answer.status != 304:
        assert method == "HEAD" or int(answer.headers["Content-Length"]) == len(answer.body)


def test_both_servers_revalidate_and_compress(server: Host) -> None:
    first = server.get(BASE, Accept_Encoding="gzip, br")
    assert first.headers["Content-Encoding"] == "br"
    again = server.get(BASE, Accept_Encoding="gzip, br", If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


# gunicorn's threads are few: there a front server has to buffer.
@pytest.mark.parametrize("server", ["granian"], indirect=True)
def test_clients_that_fetch_slowly_hold_up_nobody(server: Host) -> None:
    slow = []
    for _ in range(40):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET {BASE}big.bin HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        slow.append(connection)
    for connection in slow:
        assert connection.recv(8) == b"HTTP/1.1"
    assert server.get(f"{BASE}about").text == "about"
    for connection in slow:
        connection.close()
