from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bot.builders.job import Stopped
from bot.errors import SystemFault, UserError
from bot.uploads import clone as module
from bot.uploads.clone import clone
from bot.uploads.remote import parse_remote
from tests.builders.conftest import ListLog
from tests.builders.repositories import GitServer, Repository

PAGES = {"index.html": "<h1>One</h1>", "a/b.css": "x"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    monkeypatch.setenv("no_proxy", "*")
    with GitServer(tmp_path / "served") as running:
        yield running


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "served/owner/site.git")


class Clone:
    def __init__(self, server: GitServer, target: Path) -> None:
        self._server = server
        self.target = target
        self.log = ListLog()

    def __call__(
        self, ref: str = "", name: str = "site", url: str = "", largest: int = 1 << 30
    ) -> str:
        url = url or self._server.url
        remote = parse_remote(f"{url}/owner/{name}.git", ref, (url,))
        return clone(remote, self.target, self.log, threading.Event(), 30, largest)

    def files(self) -> list[str]:
        found = (path for path in self.target.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.target).as_posix() for path in found)


@pytest.fixture
def cloned(server: GitServer, tmp_path: Path) -> Clone:
    return Clone(server, tmp_path / "work/tree")


def test_what_is_too_large_is_refused_before_it_is_written(
    repository: Repository, cloned: Clone
) -> None:
    # Packed it is next to nothing.
    repository.commit(PAGES | {f"{number}.txt": "a" * 500_000 for number in range(5)})
    with pytest.raises(UserError) as refused:
        cloned(largest=2_000_000)
    assert refused.value.code == "repository-too-large"
    assert "BUILD_DISK" in refused.value.hint
    assert cloned.files() == []
    cloned(largest=2_600_000)
    assert len(cloned.files()) == 7


def test_the_default_branch_is_written_without_its_git_folder(
    repository: Repository, cloned: Clone
) -> None:
    sha = repository.commit(PAGES)
    assert cloned() == sha
    assert cloned.files() == ["a/b.css", "index.html"]
    assert os.listdir(cloned.target.parent) == ["tree"]


@pytest.mark.parametrize("ref", ["feature/x", "v1", "refs/heads/feature/x", "sha"])
def test_a_branch_a_tag_or_a_commit_is_found(
    repository: Repository, cloned: Clone, ref: str
) -> None:
    sha = repository.commit(PAGES)
    repository.git("branch", "feature/x")
    repository.git("tag", "--annotate", "--message=v1", "v1")
    repository.commit({"later.html": "x"})
    assert cloned(sha if ref == "sha" else ref) == sha
    assert "later.html" not in cloned.files()


@pytest.mark.parametrize(
    ("ref", "name", "code"),
    [
        ("nowhere", "site", "ref-not-found"),
        ("0" * 39 + "1", "site", "ref-not-found"),
        ("", "missing", "repository-not-found"),
    ],
)
def test_what_is_not_there_is_said_so(
    repository: Repository, cloned: Clone, ref: str, name: str, code: str
) -> None:
    repository.commit(PAGES)
    with pytest.raises(UserError) as caught:
        cloned(ref, name)
    assert caught.value.code == code


def test_a_private_repository_is_not_found(tmp_path: Path, repository: Repository) -> None:
    repository.commit(PAGES)
    with GitServer(tmp_path / "served", token="secret") as server:
        private = Clone(server, tmp_path / "work/tree")
        with pytest.raises(UserError) as caught:
            private()
    assert caught.value.code == "repository-not-found"


def test_a_redirection_is_not_followed(
    repository: Repository, server: GitServer, cloned: Clone
) -> None:
    repository.commit(PAGES)

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", server.url + self.path)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    elsewhere = HTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=elsewhere.serve_forever)
    thread.start()
    try:
        with pytest.raises(UserError) as caught:
            cloned(url=f"http://127.0.0.1:{elsewhere.server_port}")
    finally:
        elsewhere.shutdown()
        thread.join()
        elsewhere.server_close()
    assert caught.value.code == "repository-moved"
    assert server.requests == []


def test_git_asks_no_name_server_again(
    repository: Repository, server: GitServer, cloned: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name below exists nowhere: only the pinned address leads there."""
    sha = repository.commit(PAGES)
    monkeypatch.setattr(module, "resolve", lambda _remote: ("127.0.0.1",))
    assert cloned(url=server.url.replace("127.0.0.1", "rebound.invalid")) == sha


def test_a_server_that_does_not_answer_is_a_fault_that_may_pass(cloned: Clone) -> None:
    with pytest.raises(SystemFault):
        cloned(url="http://127.0.0.1:9")


def test_a_clone_that_nobody_wants_any_more_is_ended(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    repository.commit(PAGES)
    remote = parse_remote(f"{server.url}/owner/site.git", "", (server.url,))
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Stopped):
        clone(remote, tmp_path / "work/tree", ListLog(), cancelled, 30, 1 << 30)
