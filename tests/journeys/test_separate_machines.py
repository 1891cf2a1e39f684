"""A web process and a worker with a folder each: PostgreSQL, Redis and a bucket are shared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.local import supervisor
from bot.settings import load
from tests.journeys.conftest import ROOT, Bot, free_port, wait_for
from tests.programs import require_program
from tests.servers import Postgres
from tests.storage.s3_server import S3Server

pytestmark = pytest.mark.journey

# A build that says something, and something more three seconds later.
BUILD = """
const fs = require("fs");
console.log("the first line");
const look = () => {
  if (Date.now() < end) return setTimeout(look, 50);
  console.log("the last line");
  fs.mkdirSync("dist", { recursive: true });
  fs.writeFileSync("dist/index.html", "built elsewhere");
};
const end = Date.now() + 3000;
look();
"""
PACKAGE = json.dumps({"name": "site", "private": True, "scripts": {"build": "node build.js"}})


class Machine:
    """One process and its folder."""

    def __init__(self, folder: Path, command: tuple[str, ...], shared: dict[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        own = shared | {"DATA_DIR": str(folder), "DASHBOARD_PORT": "0"}
        environ = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")} | own
        self.settings = load(own, None)
        self.output = folder / "output.log"
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def machines(
    postgres: Postgres, redis_url: str, s3_server: S3Server, tmp_path: Path
) -> Iterator[tuple[Bot, Machine]]:
    require_program("npm")
    database_url = postgres.fresh_database()
    port = str(free_port())
    shared = s3_server.environ("separate-machines") | {
        "DATABASE_URL": database_url,
        "QUEUE_URL": redis_url,
        "CACHE_URL": redis_url,
        "GITHUB_WEBHOOK_SECRET": "the same everywhere",
        "PORT": port,
        "DRAIN_TIMEOUT": "20",
    }
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    web_command = (gunicorn, "--config", "python:bot.gunicorn_settings", "bot.wsgi:application")
    web = Machine(tmp_path / "web", web_command, shared)
    # The code host of this test: both sides reach it.
    (tmp_path / "web/repositories").mkdir()
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker/repositories").symlink_to(tmp_path / "web/repositories")
    worker = Machine(tmp_path / "worker", (sys.executable, "-m", "bot", "worker"), shared)
    bot = Bot(web.settings, web.process, web.output)
    wait_for(lambda: supervisor.is_running(web.settings), "the web process", 30)
    yield bot, worker
    for machine in (worker, web):
        machine.stop()
    postgres.drop(database_url)


def test_a_log_is_followed_live_and_read_in_ranges_on_a_machine_that_did_not_write_it(
    machines: tuple[Bot, Machine], tmp_path: Path
) -> None:
    bot, worker = machines
    sha = bot.push({"package.json": PACKAGE, "build.js": BUILD}, tmp_path / "site")
    build = wait_for(lambda: bot.builds(sha), "the build")[0]
    log = f"/api/v1/builds/{build['id']}/log"
    request = urllib.request.Request(bot.url + log, headers={"Accept": "text/event-stream"})
    states: list[str] = []
    lines: list[str] = []
    with urllib.request.urlopen(request, timeout=60) as events:
        for raw in events:
            line = raw.decode().rstrip("\n")
            if line.startswith("data:"):
                lines.append(line.removeprefix("data: "))
            if line.endswith("| the first line"):
                states.append(bot.builds(sha)[0]["status"])
            if line == "event: end":
                break
    assert states == ["building"], "\n".join(lines)
    assert any(line.endswith("| the last line") for line in lines)
    whole = bot.get(log)
    assert [line for line in whole.text.splitlines() if line not in lines] == []
    part = bot.get(log, Range="bytes=10-19")
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert bot.get(log, Range=f"bytes={len(whole.body)}-").status == 416
    assert "built elsewhere" in bot.get(f"/{sha}/").text
    assert not list((bot.settings.DATA_DIR / "logs").rglob("bld-*.log"))
    assert list((worker.settings.DATA_DIR / "logs").rglob("bld-*.log"))


def test_a_worker_that_is_told_to_end_finishes_its_build_first(
    machines: tuple[Bot, Machine], tmp_path: Path
) -> None:
    bot, worker = machines
    sha = bot.push({"package.json": PACKAGE, "build.js": BUILD}, tmp_path / "site")
    wait_for(
        lambda: (found := bot.builds(sha)) and found[0]["status"] == "building",
        "the build to be under way",
    )
    assert worker.stop() == 0
    assert bot.builds(sha)[0]["status"] == "ready", worker.output.read_text()
    assert not list((worker.settings.DATA_DIR / "workers").glob("wrk-*"))
