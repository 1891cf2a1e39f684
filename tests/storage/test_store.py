"""The contract of `Store`, run on every implementation."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.storage.manifest import Entry, Manifest, decode, encode, media_type
from bot.storage.store import NotPublished, Store, StoreFault

LARGE = os.urandom(1 << 16) * 40  # more than what is made in memory


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
    assert store.put_file(file, first) == first


def test_a_file_that_its_giver_has_read_is_not_read_again(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"known")
    known = (sha256(b"known"), 5)
    assert store.put_file(file, known) == known
    assert content_of(store, known[0]) == b"known"


def test_a_content_that_is_not_there_is_a_file_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("0" * 64)


def test_a_chunk_that_fails_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield LARGE
        raise RuntimeError("the source broke")

    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RuntimeError, match="the source broke"):
        store.put_bytes(failing())
    with pytest.raises(FileNotFoundError):
        store.open(sha256(LARGE))
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


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


def test_a_deployment_whose_content_is_not_there_is_not_published(store: Store) -> None:
    manifest = Manifest(deployment="dpl_1", files={"a": Entry("0" * 64, 1, "text/plain")})
    with pytest.raises(StoreFault, match="not in the store"):
        store.publish(manifest)
    with pytest.raises(NotPublished):
        store.manifest("dpl_1")


def test_a_batch_of_contents_is_there_when_it_ends(
    store: Store, second: Store, tmp_path: Path
) -> None:
    contents = [b"%d" % number for number in range(150)]
    with store.batch():
        for number, content in enumerate(contents):
            file = tmp_path / str(number)
            file.write_bytes(content)
            assert store.put_file(file) == (sha256(content), len(content))
            store.put_bytes([content + b"!"])
        large = store.put_bytes([LARGE])
    for content in contents:
        assert content_of(second, sha256(content)) == content
        assert content_of(second, sha256(content + b"!")) == content + b"!"
    assert content_of(second, large[0]) == LARGE


def test_what_is_missing_is_told_in_order(store: Store) -> None:
    kept, _ = store.put_bytes([b"kept"])
    assert store.missing(["1" * 64, kept, "0" * 64]) == ["1" * 64, "0" * 64]
    assert store.missing([]) == []


def test_contents_are_read_from_anywhere(store: Store, second: Store) -> None:
    digest, size = store.put_bytes([LARGE, LARGE])
    for reader in (store, second, second):
        with reader.open(digest) as file:
            file.seek(size - 10)
            assert file.read(100) == LARGE[-10:]
            file.seek(1000)
            assert file.read(5) == LARGE[1000:1005]
            assert file.tell() == 1005


def test_another_process_sees_what_was_published(store: Store, second: Store) -> None:
    manifest = published(store, "dpl_1", {"index.html": b"<h1>"})
    store.expect("dpl_1")
    assert second.manifest("dpl_1") == manifest
    second.delete("dpl_1")
    with pytest.raises(NotPublished):
        store.manifest("dpl_1")


def test_all_that_is_stored_is_listed(store: Store, tmp_path: Path) -> None:
    manifest = published(store, "dpl_1", {"index.html": b"<h1>", "a.css": b"a{}"})
    file = tmp_path / "old"
    file.write_bytes(b"built long ago")
    os.utime(file, (0, 0))
    store.put_file(file)
    assert [found[0] for found in store.deployments()] == ["dpl_1"]
    listed = {content.digest: content for content in store.contents()}
    assert listed.keys() == {*manifest.digests(), sha256(b"built long ago")}
    assert listed[sha256(b"<h1>")].size == 4
    assert all(-5 < content.age < 60 for content in listed.values())


def test_a_deployments_version_changes_when_it_is_published_again(store: Store) -> None:
    published(store, "dpl_1", {"index.html": b"old"})
    ((_, first, _),) = store.deployments()
    published(store, "dpl_1", {"index.html": b"new"})
    ((_, second, _),) = store.deployments()
    assert first != second


def test_a_sweep_deletes_contents(store: Store, second: Store) -> None:
    digest, size = store.put_bytes([b"garbage"])
    found = list(second.contents())
    with second.sweeping() as remove:
        assert remove(found) == size
    assert store.missing([digest]) == [digest]


def test_a_sweep_and_a_publishing_exclude_one_another(store: Store, second: Store) -> None:
    digest, size = store.put_bytes([b"<h1>"])
    manifest = Manifest(deployment="dpl_1", files={"a": Entry(digest, size, "text/html")})
    publisher = threading.Thread(target=store.publish, args=(manifest,))
    with second.sweeping():
        publisher.start()
        publisher.join(0.5)
        assert publisher.is_alive()
        with pytest.raises(NotPublished):
            second.manifest("dpl_1")
    publisher.join(30)
    assert second.manifest("dpl_1") == manifest


def test_what_was_swept_since_it_was_stored_is_not_published(store: Store, second: Store) -> None:
    digest, size = store.put_bytes([b"<h1>"])
    with second.sweeping() as remove:
        remove(list(second.contents()))
    manifest = Manifest(deployment="dpl_1", files={"a": Entry(digest, size, "text/html")})
    with pytest.raises(StoreFault, match="not in the store"):
        store.publish(manifest)
    store.put_bytes([b"<h1>"])
    store.publish(manifest)
    assert content_of(second, digest) == b"<h1>"


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
