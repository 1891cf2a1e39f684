"""The client, against the web process as it is run."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.api import folder as module
from bot.api.client import Choice, Client, Refused
from bot.api.folder import Digests, digests_of
from bot.errors import SystemFault, UserError
from tests.api.web import Web
from tests.uploads.archives import PAGE, zip_of


@pytest.fixture
def client(web: Web, tmp_path: Path) -> Iterator[Client]:
    made = Client(web.url, cache=tmp_path / "cache")
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    site = tmp_path / "my site"
    (site / "assets").mkdir(parents=True)
    (site / "index.html").write_bytes(PAGE)
    for number in range(30):
        (site / f"assets/{number}.txt").write_bytes(os.urandom(50))
    return site


def test_a_folder_is_sent_once_and_then_only_what_changed(
    client: Client, web: Web, folder: Path
) -> None:
    steps: list[tuple[int, int]] = []
    note = lambda done, of: steps.append((done, of))  # noqa: E731
    client.deploy_folder(folder, Choice("docs"), note)
    assert steps == [(number, 31) for number in range(32)]
    (folder / "assets/3.txt").write_bytes(b"changed")
    steps.clear()
    second = client.deploy_folder(folder, Choice("docs"), note)
    assert steps == [(0, 1), (1, 1)]
    assert web.get(f"{second['url']}assets/3.txt") == b"changed"


def test_an_archive_is_sent_as_it_is(client: Client, web: Web, tmp_path: Path) -> None:
    archive = tmp_path / "Handbook 2.zip"
    archive.write_bytes(zip_of({"index.html": PAGE}))
    answer = client.deploy_archive(archive, Choice(production=True))
    assert answer["project"] == "handbook-2"
    assert web.get(answer["url"]) == PAGE
    data = client.get("deployments", environment="production")["data"]
    assert data[0]["id"] == answer["deployment_id"]


def test_a_log_is_followed_to_its_end(client: Client, folder: Path) -> None:
    answer = client.deploy_folder(folder, Choice("docs"))
    lines = list(client.follow(answer["build_id"]))
    assert "Live at" in lines[-1]


def test_a_refusal_comes_with_its_code_and_hint(client: Client, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"no archive")
    with pytest.raises(Refused) as caught:
        client.deploy_archive(archive, Choice())
    assert (caught.value.status, caught.value.code) == (415, "archive-type-unknown")
    assert caught.value.hint
    with pytest.raises(Refused) as caught:
        client.deploy_repository("https://evil.example/a/b", Choice())
    assert caught.value.code == "url-host-not-allowed"


def test_a_wrong_token_is_told(web: Web) -> None:
    stranger = Client(web.url, "dst_wrong")
    with pytest.raises(Refused) as caught:
        stranger.get("projects")
    stranger.close()
    assert caught.value.status == 401


def test_a_host_that_is_not_there_is_a_fault_that_may_pass() -> None:
    with pytest.raises(SystemFault) as caught:
        Client("http://127.0.0.1:9").get("projects")
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UserError) as caught:
        Client(url).get("projects")
    assert caught.value.code == "invalid-url"


def test_a_connection_that_was_closed_meanwhile_is_opened_again(client: Client) -> None:
    client.get("projects")
    assert client._idle[0].sock is not None
    client._idle[0].sock.shutdown(socket.SHUT_RDWR)
    assert client.get("projects")["data"] is not None


def remembered(folder: Path, cache: Path | None) -> Digests:
    found = digests_of(folder, cache)
    found.remember()
    return found


def test_what_need_not_be_sent_is_left_out(folder: Path, tmp_path: Path) -> None:
    for name in (".git/config", "node_modules/x.js", ".DS_Store", "a/node_modules/y.js"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "secret").write_text("x")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "inside").symlink_to("index.html")
    (folder / "loop").symlink_to(".")
    found = digests_of(folder).files
    assert sorted(found) == sorted(
        ["index.html", "inside", *(f"assets/{n}.txt" for n in range(30))]
    )


def test_a_digest_is_read_from_the_cache_while_the_file_is_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = remembered(folder, cache).files
    read = []
    digest = module._digest
    monkeypatch.setattr(module, "_digest", lambda path: read.append(path) or digest(path))
    assert remembered(folder, cache).files == first
    assert len(read) == len(first), "files this young could change unseen"
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    remembered(folder, cache)
    read.clear()
    assert remembered(folder, cache).files == first
    assert read == []


def test_what_was_not_there_last_time_is_fresh(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert remembered(folder, cache).fresh == ()
    (folder / "new.txt").write_bytes(b"new")
    (folder / "renamed.html").write_bytes(PAGE)
    found = remembered(folder, cache)
    assert found.fresh == (found.files["new.txt"],)


def test_a_cache_that_knows_more_than_the_host_does_no_harm(
    client: Client, web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    remembered(folder, client.cache)
    (folder / "new.txt").write_bytes(b"new")
    answer = client.deploy_folder(folder, Choice("docs"))
    assert web.get(f"{answer['url']}new.txt") == b"new"


def test_a_changed_file_is_read_again_although_its_size_and_time_are_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, file = tmp_path / "cache", folder / "assets/1.txt"
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    first = remembered(folder, cache).files
    about = file.stat()
    file.write_bytes(os.urandom(50))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    second = remembered(folder, cache).files
    assert second["assets/1.txt"] != first["assets/1.txt"]
    assert {k: v for k, v in second.items() if k != "assets/1.txt"} == {
        k: v for k, v in first.items() if k != "assets/1.txt"
    }


@pytest.mark.parametrize("content", ["", "{", "[]", '{"index.html": 1}', '{"index.html": [1]}'])
def test_a_cache_that_cannot_be_read_is_none(folder: Path, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "cache"
    expected = remembered(folder, cache).files
    for place in cache.glob("*.json"):
        place.write_text(content)
    assert remembered(folder, cache).files == expected


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        digests_of(tmp_path)
    assert caught.value.code == "folder-empty"
