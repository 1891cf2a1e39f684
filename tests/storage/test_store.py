"""The contract of `Store`, run on every implementation."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest, decode, encode, media_type
from bot.storage.store import NotPublished, Store

LARGE = os.urandom(1 << 16) * 40  # more than what is made in memory


def disk(folder: Path) -> Store:
    return DiskStore(folder / "artifacts")


IMPLEMENTATIONS: dict[str, Callable[[Path], Store]] = {"disk": disk}


@pytest.fixture(params=IMPLEMENTATIONS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return IMPLEMENTATIONS[request.param](tmp_path)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def published(store: Store, deployment: str, files: dict[str, bytes]) -> Manifest:
    entries = {
        path: Entry(*store.put_bytes([content]), media_type(path))
        for path, content in files.items()
    }
    manifest = Manifest(deployment=deployment, files=entries)
    store.publish(manifest)
    return manifest


def content_of(store: Store, digest: str) -> bytes:
    with store.open(digest) as file:
        return file.read()


@pytest.mark.parametrize("content", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
def test_bytes_come_back_as_they_were_stored(store: Store, content: bytes) -> None:
    chunks = [content[i : i + 1000] for i in range(0, len(content), 1000)]
    assert store.put_bytes(chunks) == (sha256(content), len(content))
    assert content_of(store, sha256(content)) == content


@pytest.mark.parametrize("content", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
def test_the_size_of_a_content_is_known_once_it_is_stored(store: Store, content: bytes) -> None:
    assert store.size(sha256(content)) is None
    store.put_bytes([content])
    store.flush({sha256(content)})
    assert store.size(sha256(content)) == len(content)


@pytest.mark.parametrize("content", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
def test_files_come_back_as_they_were_stored(store: Store, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert store.put_file(file) == (sha256(content), len(content))
    file.unlink()
    assert content_of(store, sha256(content)) == content


def test_storing_the_same_content_again_answers_the_same(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"again")
    first = store.put_bytes([b"again"])
    assert store.put_bytes([b"ag", b"ain"]) == first
    assert store.put_file(file) == first


def test_a_content_that_is_not_there_is_a_file_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("0" * 64)


def test_a_chunk_that_fails_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield LARGE
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        store.put_bytes(failing())
    with pytest.raises(FileNotFoundError):
        store.open(sha256(LARGE))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_file_with_another_name_cannot_be_changed_through_it(
    store: Store, tmp_path: Path
) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"before")
    other.hardlink_to(file)
    digest, _ = store.put_file(file)
    other.chmod(0o644)
    other.write_bytes(b"AFTER!")
    assert content_of(store, digest) == b"before"


def test_a_deployment_is_not_there_before_it_is_published(store: Store) -> None:
    store.put_bytes([b"<h1>"])
    with pytest.raises(NotPublished):
        store.manifest("dpl_1")


def test_a_published_manifest_comes_back_equal(store: Store) -> None:
    manifest = published(store, "dpl_1", {"index.html": b"<h1>", "a/ü.css": b"a{}"})
    assert store.manifest("dpl_1") == manifest


def test_publishing_again_replaces(store: Store) -> None:
    published(store, "dpl_1", {"index.html": b"old"})
    newer = published(store, "dpl_1", {"index.html": b"new"})
    assert store.manifest("dpl_1") == newer


def test_a_deleted_deployment_is_gone_and_its_contents_stay(store: Store) -> None:
    manifest = published(store, "dpl_1", {"index.html": b"shared"})
    store.lay_out(manifest)
    store.delete("dpl_1")
    with pytest.raises(NotPublished):
        store.manifest("dpl_1")
    assert content_of(store, manifest.files["index.html"].digest) == b"shared"


def test_deleting_what_is_not_there_changes_nothing(store: Store) -> None:
    store.delete("dpl_none")


def test_many_threads_may_store_the_same_contents(store: Store) -> None:
    contents = [bytes([number]) * 5000 for number in range(40)]
    failures: list[BaseException] = []

    def put() -> None:
        try:
            for content in contents:
                assert store.put_bytes([content]) == (sha256(content), len(content))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(content_of(store, sha256(content)) == content for content in contents)


def test_a_manifest_survives_encoding() -> None:
    manifest = Manifest(
        deployment="dpl_1",
        files={"a b/ü.html": Entry("ab", 1, "text/html; charset=utf-8", "blob")},
        spa=True,
        base="/x/",
        created_at=5,
    )
    assert decode(encode(manifest)) == manifest


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("APP.JS", "text/javascript; charset=utf-8"),
        ("a/b.mjs", "text/javascript; charset=utf-8"),
        ("site.webmanifest", "application/manifest+json; charset=utf-8"),
        ("logo.svg", "image/svg+xml"),
        ("font.woff2", "font/woff2"),
        ("data.json", "application/json; charset=utf-8"),
        ("module.wasm", "application/wasm"),
        ("LICENSE", "application/octet-stream"),
    ],
)
def test_the_media_type_follows_the_name(path: str, expected: str) -> None:
    assert media_type(path) == expected
