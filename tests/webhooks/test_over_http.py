"""Deliveries over real HTTP, to the web process as `make start` runs it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.secret import Secret
from bot.webhooks.events import LARGEST_BODY
from bot.webhooks.signature import sign
from tests.webhooks import payloads
from tests.webhooks.payloads import encode

ROOT = Path(__file__).parents[2]
SECRET = Secret("over-http")
_DEADLINE = 30.0


@dataclass
class Web:
    port: int
    data: Path
    process: subprocess.Popen[bytes]
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=_DEADLINE)

    def kill(self) -> None:
        """As a power cut would, as far as processes go."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_DEADLINE)


def headers(body: bytes, guid: str = "", event: str = "push") -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid or str(uuid.uuid4()),
        "X-Hub-Signature-256": sign(body, SECRET),
    }


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = tmp_path / "data"
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")} | {
        "DATA_DIR": str(data),
        "PORT": str(port),
        "GITHUB_WEBHOOK_SECRET": SECRET.reveal(),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [gunicorn, "--config", "python:bot.gunicorn_settings", "bot.wsgi:application"],
        cwd=tmp_path,
        env=environ,
        start_new_session=True,
    )
    deadline = time.monotonic() + _DEADLINE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, "gunicorn ended"
        assert time.monotonic() < deadline, "gunicorn did not listen"
        time.sleep(0.02)
    found = Web(port, data, process)
    yield found
    if process.poll() is None:
        found.kill()


def test_answers_over_one_connection(web: Web) -> None:
    connection = web.connect()

    def post(body: Any, sent: dict[str, str], *, chunked: bool = False) -> tuple[int, Any]:
        connection.request(
            "POST", "/webhooks/github", body=body, headers=sent, encode_chunked=chunked
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    body = encode(payloads.push())
    assert post(body, headers(body))[0] == 202
    assert post(body, headers(b"other")) == (401, {"title": "Unauthorized", "status": 401})
    pieces = (body[start : start + 100] for start in range(0, len(body), 100))
    sent = headers(body) | {"Transfer-Encoding": "chunked"}
    status, answer = post(pieces, sent, chunked=True)
    assert (status, answer["reason"]) == (200, "this commit has a build already")
    large = encode(payloads.push(commits=["x" * 1000] * 5000))
    assert post(large, headers(large))[0] == 200
    assert post(b"[]", headers(b"[]"))[1]["code"] == "unexpected-payload"
    connection.close()


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(web: Web) -> None:
    connection = web.connect()
    connection.putrequest("POST", "/webhooks/github")
    connection.putheader("Content-Length", str(LARGEST_BODY + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    connection.close()


def test_what_was_accepted_is_there_after_a_kill_at_any_moment(web: Web) -> None:
    enough = threading.Event()

    def deliver(thread: int) -> None:
        connection = web.connect()
        number = 0
        try:
            while True:
                number += 1
                push = payloads.push(
                    ref=f"refs/heads/t{thread}-{number}", after=f"{thread:020x}{number:020x}"
                )
                body, guid = encode(push), str(uuid.uuid4())
                connection.request("POST", "/webhooks/github", body, headers(body, guid))
                answer = connection.getresponse()
                content = json.loads(answer.read())
                assert answer.status == 202
                web.answered[guid] = content
                if len(web.answered) >= 200:
                    enough.set()
        except (OSError, http.client.HTTPException):
            pass  # the kill
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    assert enough.wait(_DEADLINE)
    web.kill()
    for thread in threads:
        thread.join(_DEADLINE)
    connection = sqlite3.connect(web.data / "deploystack.db")
    recorded = {guid for (guid,) in connection.execute("SELECT guid FROM deliveries")}
    queued = {row[0] for row in connection.execute("SELECT id FROM builds WHERE status = 'queued'")}
    connection.close()
    assert set(web.answered) <= recorded
    assert {answer["build_id"] for answer in web.answered.values()} <= queued
    # A delivery without its answer may be there too, but never without its build.
    assert len(recorded) == len(queued)
