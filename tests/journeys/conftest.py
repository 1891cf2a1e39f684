"""A real bot for a journey: its own folder and port, started as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import git
import pytest
from playwright.sync_api import Page

from bot.local import push, supervisor
from bot.settings import Settings, load
from tests.browsers import chromium
from tests.programs import require_program

ROOT = Path(__file__).parents[2]
_ENDED = {"ready", "failed", "errored", "cancelled", "superseded", "timed out"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """The first true value of `condition`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    return pytest.fail(f"waited {seconds:.0f} s in vain for {what}")


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


@dataclass
class Bot:
    """A running bot, and the ways in which the world meets it."""

    settings: Settings
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def url(self) -> str:
        return supervisor.local_url(self.settings)

    def get(self, path: str, **headers: str) -> Answer:
        """GET without following redirects; header names have `_` for `-`."""
        request = urllib.request.Request(self.url + path)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def push(
        self, files: dict[str, str], folder: Path, name: str = "site", branch: str = "main"
    ) -> str:
        """Commit `files` on top of what `folder` holds, push, send the webhook; the SHA."""
        folder.mkdir(exist_ok=True)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        with push.commit_folder(folder, f"Change {', '.join(files) or 'nothing'}") as source:
            return self.push_commit(source, name, branch)

    def push_commit(self, source: git.Repo, name: str, branch: str) -> str:
        pushed = push.push(source, "HEAD", self.settings, name, branch)
        push.send(self.settings, self.url, "push", push.payload(pushed))
        return pushed.after

    def builds(self, sha: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get(f"/api/v1/builds?sha={sha}").body)["data"]
        return found

    def ended(self, sha: str, seconds: float = 120) -> dict[str, Any]:
        """The newest build of a commit, once it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.builds(sha)
            return found[0] if found and found[0]["status"] in _ENDED else None

        found: dict[str, Any] = wait_for(look, f"the build of {sha} to end", seconds)
        return found

    def ready(self, sha: str, seconds: float = 120) -> dict[str, Any]:
        build = self.ended(sha, seconds)
        log = self.get(f"/builds/{build['id']}/log").text
        assert build["status"] == "ready", f"{build['error_message']}\n{log}"
        return build

    def stop(self) -> int:
        """Ctrl-C; answers the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def start_bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Bot]]:
    """Starts bots; keyword arguments are settings."""
    require_program("git")
    running: list[Bot] = []

    def start(data: Path | None = None, **given: str) -> Bot:
        data = data or tmp_path_factory.mktemp("bot") / "data"
        data.mkdir(parents=True, exist_ok=True)
        own = {"DATA_DIR": str(data), "PORT": str(free_port()), "DASHBOARD_PORT": "0"} | given
        environ = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")} | own
        environ["PYTHONPATH"] = str(ROOT)
        output = data / "output.log"
        with output.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "bot", "start"],
                cwd=data,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        bot = Bot(load(own, None), process, output)
        running.append(bot)

        def up() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the bot ended at its start:\n{output.read_text()}")
            return supervisor.is_running(bot.settings)

        wait_for(up, "the bot to start", 30)
        return bot

    yield start
    for bot in running:
        bot.stop()


@pytest.fixture(scope="session")
def bot(start_bot: Callable[..., Bot]) -> Bot:
    """The bot that journeys share where they can."""
    return start_bot()


@dataclass
class Browser:
    """A page of headless Chromium, and everything that went wrong in it."""

    page: Page
    problems: list[str]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium("--disable-background-networking") as launched:
        page = launched.new_page()
        problems: list[str] = []
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda r: problems.append(f"{r.url}: {r.failure}"))
        page.on(
            "response",
            lambda r: problems.append(f"{r.url}: {r.status}") if r.status >= 400 else None,
        )
        yield Browser(page, problems)
