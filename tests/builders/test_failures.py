"""The failures that authors meet most, made for real: npm's own words, and what we say of them."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bot.builders.failures import explain
from bot.builders.plan import Step
from tests.programs import require_program


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def failed(folder: Path, *argv: str) -> str:
    """What a command says that must fail; nothing beyond this machine is asked."""
    npm = require_program(argv[0])
    done = subprocess.run(
        (npm, *argv[1:]), cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A project with a local package `one`, in version 1."""
    write(tmp_path / "one", "package.json", {"name": "one", "version": "1.0.0"})
    return tmp_path


class _Registry(BaseHTTPRequestHandler):
    """`one` in two versions, and `two`, which wants the later one beside it.

    https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
    """

    def do_GET(self) -> None:
        name = self.path.strip("/")
        versions = {}
        for version in ("1.0.0", "2.0.0") if name == "one" else ("1.0.0",):
            dist = {"tarball": f"http://127.0.0.1/{name}.tgz", "shasum": "0" * 40}
            versions[version] = {"name": name, "version": version, "dist": dist}
            if name == "two":
                versions[version]["peerDependencies"] = {"one": "^2.0.0"}
        latest = {"latest": max(versions)}
        body = json.dumps({"name": name, "dist-tags": latest, "versions": versions}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_lockfile_that_npm_refuses(package: Path) -> None:
    write(package, "package.json", {"name": "x", "dependencies": {"one": "file:one"}})
    locked = {"": {"name": "x"}}
    write(package, "package-lock.json", {"name": "x", "lockfileVersion": 3, "packages": locked})
    argv = ("npm", "ci", "--offline", "--no-audit")
    _, hint = explain(Step(name="install", argv=argv), 1, failed(package, *argv))
    assert "package.json and the lockfile do not agree" in hint
    assert "commit the lockfile" in hint


def test_packages_that_want_different_versions_of_a_third(package: Path, registry: str) -> None:
    dependencies = {"one": "1.0.0", "two": "1.0.0"}
    write(package, "package.json", {"name": "x", "dependencies": dependencies})
    argv = ("npm", "install", "--no-audit", f"--registry={registry}", f"--cache={package}/cache")
    _, hint = explain(Step(name="install", argv=argv), 1, failed(package, *argv))
    assert "peer dependency" in hint
    assert "legacy-peer-deps=true" in hint


def test_a_host_that_a_build_cannot_reach(package: Path) -> None:
    script = "require('https').get('https://fonts.invalid/css').on('error', e => { throw e })"
    write(package, "package.json", {"name": "x", "scripts": {"build": f'node -e "{script}"'}})
    argv = ("npm", "run", "build")
    _, hint = explain(Step(name="build", argv=argv), 1, failed(package, *argv))
    assert "cannot be reached from here (fonts.invalid)" in hint
