"""Commits are fetched from real repositories and a real Git server over HTTP."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.builders.git_process import GitFailed, run_git
from bot.builders.job import Stopped
from bot.builders.source import Repositories, explain, fetch_environment
from bot.errors import SystemFault, UserError
from bot.secret import Secret
from tests.builders.conftest import ListLog
from tests.builders.repositories import GitServer, Repository

NOT_THERE = "0123456789" * 4
TOKEN = "ghs_a_token_that_must_not_be_found"


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "origin" / "owner" / "site.git")
    repository.commit({"index.html": "<h1>one</h1>", "css/site.css": "a{}"})
    return repository


class Fetcher:
    """Fetches as a build does."""

    def __init__(self, root: Path, token: str = "") -> None:
        self.root = root
        self.log = ListLog()
        self.asked: list[str] = []
        self.cancelled = threading.Event()
        self.repositories = Repositories(root, self._token_for, seconds=60)
        self._token = token

    def _token_for(self, project: str) -> Secret | None:
        self.asked.append(project)
        return Secret(self._token) if self._token else None

    def fetch(self, url: str, sha: str, project: str = "owner/site") -> dict[str, bytes]:
        """All files of a commit."""
        with self.repositories.fetch(project, url, sha, self.log, self.cancelled) as source:
            return {path: source.tree.read(path) for path in source.tree.files}

    def export(self, url: str, sha: str, target: Path) -> Path:
        with self.repositories.fetch("owner/site", url, sha, self.log, self.cancelled) as source:
            source.export(target)
        return target


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "mirrors")


@pytest.fixture
def server(tmp_path: Path, origin: Repository) -> Iterator[GitServer]:
    with GitServer(tmp_path / "origin") as running:
        yield running


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_commit_is_read_without_a_checkout(origin: Repository, fetcher: Fetcher) -> None:
    files = fetcher.fetch(str(origin.path), origin.git("rev-parse", "HEAD"))
    assert files == {"index.html": b"<h1>one</h1>", "css/site.css": b"a{}"}


def test_exactly_the_commit_asked_for_is_fetched(origin: Repository, fetcher: Fetcher) -> None:
    older = origin.git("rev-parse", "HEAD")
    newer = origin.commit({"index.html": "<h1>two</h1>"})
    assert fetcher.fetch(str(origin.path), newer)["index.html"] == b"<h1>two</h1>"
    assert fetcher.fetch(str(origin.path), older)["index.html"] == b"<h1>one</h1>"


def test_a_commit_that_was_pushed_over_is_still_fetched(
    origin: Repository, server: GitServer, fetcher: Fetcher
) -> None:
    orphan = origin.commit({"index.html": "<h1>orphan</h1>"})
    origin.git("reset", "--hard", "HEAD~1")
    origin.commit({"index.html": "<h1>rewritten</h1>"})
    files = fetcher.fetch(f"{server.url}/owner/site.git", orphan)
    assert files["index.html"] == b"<h1>orphan</h1>"


def test_a_server_that_hands_out_named_commits_only_is_asked_for_its_names(
    tmp_path: Path, origin: Repository, fetcher: Fetcher
) -> None:
    older = origin.git("rev-parse", "HEAD")
    pull = origin.commit({"index.html": "<h1>pull</h1>"})
    origin.git("update-ref", "refs/pull/7/head", pull)
    origin.git("reset", "--hard", older)
    origin.commit({"index.html": "<h1>two</h1>"})
    with GitServer(tmp_path / "origin", protocol=0) as server:
        url = f"{server.url}/owner/site.git"
        assert fetcher.fetch(url, older)["index.html"] == b"<h1>one</h1>"
        assert fetcher.fetch(url, pull)["index.html"] == b"<h1>pull</h1>"
        with pytest.raises(UserError) as raised:
            fetcher.fetch(url, NOT_THERE)
    assert raised.value.code == "commit-not-found"


def test_a_commit_that_is_there_is_not_fetched_again(
    origin: Repository, server: GitServer, fetcher: Fetcher
) -> None:
    sha = origin.git("rev-parse", "HEAD")
    url = f"{server.url}/owner/site.git"
    fetcher.fetch(url, sha)
    asked = len(server.requests)
    assert fetcher.fetch(url, sha)["index.html"] == b"<h1>one</h1>"
    assert len(server.requests) == asked


def test_a_second_fetch_brings_only_what_changed(origin: Repository, fetcher: Fetcher) -> None:
    big = os.urandom(300_000)
    first = origin.commit({"big.bin": big})
    fetcher.fetch(str(origin.path), first)
    mirror = fetcher.root / "owner" / "site.git"
    before = sum(f.stat().st_size for f in (mirror / "objects").rglob("*") if f.is_file())
    fetcher.fetch(str(origin.path), origin.commit({"index.html": "<h1>two</h1>"}))
    after = sum(f.stat().st_size for f in (mirror / "objects").rglob("*") if f.is_file())
    assert before > 300_000
    assert after - before < 10_000


@pytest.mark.parametrize("sha", ["main", "--upload-pack=touch x", "abc123", "", "A" * 40])
def test_only_a_full_sha_is_fetched(origin: Repository, fetcher: Fetcher, sha: str) -> None:
    with pytest.raises(UserError) as raised:
        fetcher.fetch(str(origin.path), sha)
    assert raised.value.code == "commit-not-found"


@pytest.mark.parametrize("project", ["../x", "a/..", "a/b/c", "a", "/etc", ".hidden/x"])
def test_a_project_name_cannot_leave_the_mirrors(
    origin: Repository, fetcher: Fetcher, project: str
) -> None:
    with pytest.raises(SystemFault) as raised:
        fetcher.fetch(str(origin.path), NOT_THERE, project)
    assert raised.value.code == "invalid-project"


def test_a_commit_that_nobody_has_is_the_users_to_mend(
    origin: Repository, server: GitServer, fetcher: Fetcher
) -> None:
    for url in (str(origin.path), f"{server.url}/owner/site.git"):
        with pytest.raises(UserError) as raised:
            fetcher.fetch(url, NOT_THERE)
        assert raised.value.code == "commit-not-found"


def test_a_repository_that_is_not_there_is_the_users_to_mend(
    tmp_path: Path, server: GitServer, fetcher: Fetcher
) -> None:
    for url in (str(tmp_path / "none.git"), f"{server.url}/owner/none.git"):
        with pytest.raises(UserError) as raised:
            fetcher.fetch(url, NOT_THERE)
        assert raised.value.code == "repository-not-found"


def test_a_server_that_is_down_is_a_fault_worth_a_retry(
    server: GitServer, fetcher: Fetcher
) -> None:
    with pytest.raises(SystemFault) as raised:
        fetcher.fetch("http://127.0.0.1:9/owner/site.git", NOT_THERE)
    assert raised.value.code == "fetch-failed"


def test_a_private_repository_is_fetched_with_its_token(tmp_path: Path, origin: Repository) -> None:
    fetcher = Fetcher(tmp_path / "mirrors", TOKEN)
    with GitServer(tmp_path / "origin", token=TOKEN) as server:
        files = fetcher.fetch(f"{server.url}/owner/site.git", origin.git("rev-parse", "HEAD"))
    assert files["index.html"] == b"<h1>one</h1>"
    assert fetcher.asked == ["owner/site"]


@pytest.mark.parametrize("token", ["", "ghs_the_wrong_token"])
def test_a_private_repository_without_the_right_token_is_refused_at_once(
    tmp_path: Path, origin: Repository, token: str
) -> None:
    fetcher = Fetcher(tmp_path / "mirrors", token)
    with (
        GitServer(tmp_path / "origin", token=TOKEN) as server,
        pytest.raises(UserError) as raised,
    ):
        fetcher.fetch(f"{server.url}/owner/site.git", origin.git("rev-parse", "HEAD"))
    assert raised.value.code == "access-denied"
    assert token not in str(raised.value) or not token


def test_the_token_is_in_the_environment_of_git_and_nowhere_else(
    tmp_path: Path, origin: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On disk, in arguments, in URLs, in the log and in errors there is no trace of it."""
    import base64

    fetcher = Fetcher(tmp_path / "mirrors", TOKEN)
    arguments: list[bytes] = []
    recorder = tmp_path / "bin"
    recorder.mkdir()
    real = subprocess.check_output(("which", "git"), text=True).strip()
    script = recorder / "git"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{tmp_path}/arguments\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{recorder}:{os.environ['PATH']}")
    with GitServer(tmp_path / "origin", token=TOKEN) as server:
        url = f"{server.url}/owner/site.git"
        fetcher.fetch(url, origin.git("rev-parse", "HEAD"))
        fetcher.export(url, origin.git("rev-parse", "HEAD"), tmp_path / "tree")
        with pytest.raises(UserError) as raised:
            fetcher.fetch(url, NOT_THERE)
        paths = "".join(path for path, _ in server.requests)
    arguments.append((tmp_path / "arguments").read_bytes())
    assert b"fetch" in arguments[0]
    encoded = base64.b64encode(f"x-access-token:{TOKEN}".encode())
    places = [
        *arguments,
        everything_in(tmp_path / "mirrors"),
        everything_in(tmp_path / "tree"),
        fetcher.log.text.encode(),
        paths.encode(),
        str(raised.value).encode(),
    ]
    for secret in (TOKEN.encode(), encoded):
        assert [place for place in places if secret in place] == []


def test_the_token_is_meant_for_its_own_server_alone() -> None:
    environment = fetch_environment("https://git.example:8443/a/b.git", Secret("t"))
    assert environment == {
        "GIT_ALLOW_PROTOCOL": "https",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.https://git.example:8443/.extraHeader",
        "GIT_CONFIG_VALUE_0": "Authorization: Basic eC1hY2Nlc3MtdG9rZW46dA==",
    }


def test_nothing_but_files_is_read_for_a_repository_of_this_machine() -> None:
    assert fetch_environment("/srv/x.git", Secret("t")) == {"GIT_ALLOW_PROTOCOL": "file"}


def test_the_machines_own_git_settings_have_no_part_in_it(
    origin: Repository, fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text('[url "/nowhere/"]\n\tinsteadOf = "/"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "url./nowhere/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "/")
    files = fetcher.fetch(str(origin.path), origin.git("rev-parse", "HEAD"))
    assert files["index.html"] == b"<h1>one</h1>"


def test_an_export_holds_the_tree_and_nothing_of_git(
    origin: Repository, fetcher: Fetcher, tmp_path: Path
) -> None:
    (origin.path / "run.sh").write_text("#!/bin/sh\n")
    (origin.path / "run.sh").chmod(0o755)
    (origin.path / "out").symlink_to("/etc")
    sha = origin.commit()
    tree = fetcher.export(str(origin.path), sha, tmp_path / "tree")
    assert sorted(p.name for p in tree.iterdir()) == ["css", "index.html", "out", "run.sh"]
    assert os.access(tree / "run.sh", os.X_OK)
    assert os.readlink(tree / "out") == "/etc"
    assert not (tree / ".git").exists()


def test_a_tree_tells_links_and_files_apart(origin: Repository, fetcher: Fetcher) -> None:
    (origin.path / "latest").symlink_to("css/site.css")
    sha = origin.commit({"ü.html": "x"})
    with fetcher.repositories.fetch(
        "owner/site", str(origin.path), sha, fetcher.log, fetcher.cancelled
    ) as source:
        assert set(source.tree.files) == {"index.html", "css/site.css", "ü.html"}
        assert source.tree.files["css/site.css"].size == 3
        assert source.tree.target("latest") == "css/site.css"
        with pytest.raises(FileNotFoundError):
            source.tree.read("latest")


def test_a_broken_mirror_is_made_anew(origin: Repository, fetcher: Fetcher) -> None:
    fetcher.fetch(str(origin.path), origin.git("rev-parse", "HEAD"))
    mirror = fetcher.root / "owner" / "site.git"
    for file in (mirror / "objects").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_bytes(b"broken")
    newer = origin.commit({"index.html": "<h1>two</h1>"})
    assert fetcher.fetch(str(origin.path), newer)["index.html"] == b"<h1>two</h1>"


def test_a_missing_object_is_a_fault_once_and_mended_by_the_next_attempt(
    origin: Repository, fetcher: Fetcher
) -> None:
    sha = origin.git("rev-parse", "HEAD")
    fetcher.fetch(str(origin.path), sha)
    for file in (fetcher.root / "owner" / "site.git" / "objects").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(SystemFault) as raised:
        fetcher.fetch(str(origin.path), sha)
    assert raised.value.code == "mirror-broken"
    assert fetcher.fetch(str(origin.path), sha)["index.html"] == b"<h1>one</h1>"


def test_what_a_killed_fetch_left_is_in_nobodys_way(origin: Repository, fetcher: Fetcher) -> None:
    fetcher.fetch(str(origin.path), origin.git("rev-parse", "HEAD"))
    mirror = fetcher.root / "owner" / "site.git"
    (mirror / "shallow.lock").touch()
    (mirror / "refs" / "commits" / f"{NOT_THERE}.lock").touch()
    (mirror / "objects" / "pack" / "tmp_pack_x").touch()
    newer = origin.commit({"index.html": "<h1>two</h1>"})
    assert fetcher.fetch(str(origin.path), newer)["index.html"] == b"<h1>two</h1>"
    assert not list(mirror.rglob("tmp_*"))


def test_only_one_process_at_a_time_changes_a_mirror(origin: Repository, fetcher: Fetcher) -> None:
    """Many fetches at once, of one mirror, all succeed."""
    shas = [origin.commit({"index.html": f"<h1>{n}</h1>"}) for n in range(6)]
    found: dict[str, bytes] = {}

    def fetch(sha: str) -> None:
        found[sha] = fetcher.fetch(str(origin.path), sha)["index.html"]

    threads = [threading.Thread(target=fetch, args=(sha,)) for sha in shas * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {sha: f"<h1>{n}</h1>".encode() for n, sha in enumerate(shas)}


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def git_processes_of(url: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if url.encode() in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def test_a_fetch_that_is_not_wanted_any_more_is_ended_at_once(
    fetcher: Fetcher, deaf_server: str
) -> None:
    url = f"{deaf_server}/owner/site.git"
    timer = threading.Timer(0.3, fetcher.cancelled.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        fetcher.fetch(url, NOT_THERE)
    timer.join()
    assert time.monotonic() - started < 5
    assert git_processes_of(url) == []


def test_a_fetch_that_takes_too_long_is_ended(tmp_path: Path, deaf_server: str) -> None:
    repositories = Repositories(tmp_path / "mirrors", lambda _project: None, seconds=0.3)
    url = f"{deaf_server}/owner/site.git"
    with (
        pytest.raises(SystemFault) as raised,
        repositories.fetch("owner/site", url, NOT_THERE, ListLog(), threading.Event()),
    ):
        pass
    assert raised.value.code == "git-timed-out"
    assert git_processes_of(url) == []


def test_old_names_are_forgotten_and_many_packs_become_one(
    origin: Repository, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.builders.mirror._KEPT_COMMITS", 3)
    monkeypatch.setattr("bot.builders.mirror._MANY_LOOSE", -1)
    shas = [origin.commit({"index.html": f"<h1>{n}</h1>"}) for n in range(6)]
    for sha in shas:
        fetcher.fetch(str(origin.path), sha)
    mirror = fetcher.root / "owner" / "site.git"
    assert {name.name for name in (mirror / "refs/commits").iterdir()} == set(shas[-3:])
    fetcher.repositories.tidy()
    assert len(list((mirror / "objects/pack").glob("*.pack"))) == 1
    with pytest.raises(GitFailed):
        run_git(mirror, ("cat-file", "-e", shas[0]))
    assert fetcher.fetch(str(origin.path), shas[0])["index.html"] == b"<h1>0</h1>"


def test_tidying_waits_for_readers(
    origin: Repository, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.builders.mirror._MANY_LOOSE", -1)
    sha = origin.git("rev-parse", "HEAD")
    with fetcher.repositories.fetch(
        "owner/site", str(origin.path), sha, fetcher.log, fetcher.cancelled
    ) as source:
        fetcher.repositories.tidy()
        assert not list((source.repository / "objects/pack").glob("*.pack"))


def test_what_a_killed_worker_left_beside_a_mirror_goes_after_an_hour(
    origin: Repository, fetcher: Fetcher
) -> None:
    fetcher.fetch(str(origin.path), origin.git("rev-parse", "HEAD"))
    beside = fetcher.root / "owner"
    old, young = beside / ".index-old", beside / ".index-young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "index").touch()
    os.utime(old, (time.time() - 4000,) * 2)
    fetcher.repositories.tidy()
    assert (old.exists(), young.exists()) == (False, True)
    assert (beside / "site.git" / "HEAD").exists()


def test_a_repository_with_sha256_ids_works_too(tmp_path: Path, fetcher: Fetcher) -> None:
    origin = Repository(tmp_path / "modern.git", "--object-format=sha256")
    sha = origin.commit({"index.html": "modern"})
    assert len(sha) == 64
    assert fetcher.fetch(str(origin.path), sha) == {"index.html": b"modern"}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("fatal: remote error: upload-pack: not our ref 0123", "commit-not-found"),
        ("error: Server does not allow request for unadvertised object 0", "commit-not-found"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled",
         "access-denied"),
        ("fatal: Authentication failed for 'https://github.com/a/b.git/'", "access-denied"),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403",
         "access-denied"),
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found",
         "repository-not-found"),
        ("fatal: '/x' does not appear to be a git repository", "repository-not-found"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "fetch-failed"),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 503",
         "fetch-failed"),
        ("error: RPC failed; curl 92 HTTP/2 stream 0 was not closed cleanly", "fetch-failed"),
    ],
)  # fmt: skip
def test_what_git_says_is_put_into_words(said: str, code: str) -> None:
    error = explain(GitFailed(128, said), "https://user:pw@x/a/b.git", NOT_THERE)
    assert error is not None
    assert error.code == code
    assert "pw" not in error.message
