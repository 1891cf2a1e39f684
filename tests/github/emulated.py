"""A stateful GitHub that we did not write, on this machine: the npm package `emulate`.

It knows pull requests, comments and webhooks; neither commit statuses nor deployments,
and version 0.8.0 accepts no App's JWT (it verifies with the private key).
"""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.programs import require_program

SOURCE = Path(__file__).parent / "emulator"
OWNER, BOT = "octocat", "ship-bot"
REPOSITORY = f"{OWNER}/site"


def install() -> Path:
    """The package's folder, installed as its lockfile says, once for each environment."""
    npm = require_program("npm")
    target = Path(sys.prefix) / "share" / "deploystack-tests" / "emulator"
    target.mkdir(parents=True, exist_ok=True)
    with open(target.parent / "emulator.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (SOURCE / "package-lock.json").read_bytes()
        installed = target / "installed.json"
        if not installed.exists() or installed.read_bytes() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCE / name, target)
            command = (npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
            subprocess.run(command, cwd=target, check=True, timeout=240)
            installed.write_bytes(wanted)
    return target / "node_modules" / "emulate"


@dataclass
class GitHub:
    """The emulated GitHub. `ask` speaks to it as the repository's owner."""

    url: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": "token owner", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def open_pull_request(self, branch: str) -> dict[str, Any]:
        body = {"title": f"Merge {branch}", "head": branch, "base": "main"}
        found: dict[str, Any] = self.ask("POST", f"/repos/{REPOSITORY}/pulls", body)
        return found

    def comments(self, number: int) -> list[dict[str, Any]]:
        path = f"/repos/{REPOSITORY}/issues/{number}/comments"
        found: list[dict[str, Any]] = self.ask("GET", path)
        return found


@contextmanager
def running(folder: Path) -> Iterator[GitHub]:
    """A fresh one on a free port."""
    node = require_program("node")
    seed = folder / "seed.json"
    seed.write_text(json.dumps(_seed()))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://localhost:{port}"
    program = str(install() / "dist" / "index.js")
    arguments = ("start", "--service", "github", "--port", str(port), "--seed", str(seed))
    with (
        open(folder / "output", "w") as output,
        subprocess.Popen((node, program, *arguments), stdout=output, stderr=output) as process,
    ):
        try:
            _wait(url, process)
            yield GitHub(url)
        finally:
            process.kill()


def _seed() -> dict[str, Any]:
    return {
        "tokens": {
            "owner": {"login": OWNER, "scopes": ["repo", "admin:repo_hook"]},
            "bot": {"login": BOT, "scopes": ["repo", "admin:repo_hook"]},
        },
        "github": {
            "users": [{"login": OWNER}, {"login": BOT, "site_admin": True}],
            "repos": [{"owner": OWNER, "name": "site", "auto_init": True}],
        },
    }


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the emulated GitHub did not start"
        try:
            urllib.request.urlopen(f"{url}/meta", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the emulated GitHub does not answer")


@dataclass
class Hook:
    """Where webhooks arrive: (headers, body) of each."""

    url: str = ""
    deliveries: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, event: str) -> tuple[dict[str, str], bytes]:
        """The newest delivery of an event."""

        def found() -> list[tuple[dict[str, str], bytes]]:
            return [d for d in self.deliveries if d[0]["X-GitHub-Event"] == event]

        with self.arrived:
            assert self.arrived.wait_for(found, timeout=20), f"no {event} came"
            return found()[-1]


@contextmanager
def listening() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with hook.arrived:
                hook.deliveries.append((dict(self.headers.items()), body))
                hook.arrived.notify_all()
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join(10)
