"""What only the store on disk promises: how its folder looks, and what it survives."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest
from bot.storage.store import Content, StoreFault


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "artifacts")


def test_contents_are_read_only(store: DiskStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"linked")
    for digest in (store.put_file(file)[0], store.put_bytes([b"made"])[0]):
        assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o444


def test_a_file_of_the_same_file_system_is_linked_in_not_copied(
    store: DiskStore, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"linked")
    digest, _ = store.put_file(file)
    assert store.path(digest).stat().st_ino == file.stat().st_ino


def test_a_content_that_a_power_cut_left_empty_is_written_again(store: DiskStore) -> None:
    digest, _ = store.put_bytes([b"whole"])
    damaged = store.path(digest)
    damaged.unlink()
    damaged.touch()
    store.put_bytes([b"whole"])
    assert damaged.read_bytes() == b"whole"


def test_laying_out_makes_the_tree_of_links(store: DiskStore, tmp_path: Path) -> None:
    digest, size = store.put_bytes([b"<h1>"])
    entry = Entry(digest, size, "text/html")
    manifest = Manifest(deployment="dpl_1", files={"index.html": entry, "a/b/c.html": entry})
    store.lay_out(manifest)
    site = tmp_path / "artifacts/sites/dpl_1"
    assert (site / "a/b/c.html").read_bytes() == b"<h1>"
    assert (site / "index.html").stat().st_ino == store.path(digest).stat().st_ino


def test_laying_out_again_replaces_the_tree(store: DiskStore, tmp_path: Path) -> None:
    digest, size = store.put_bytes([b"<h1>"])
    entry = Entry(digest, size, "text/html")
    store.lay_out(Manifest(deployment="dpl_1", files={"old.html": entry}))
    store.lay_out(Manifest(deployment="dpl_1", files={"new.html": entry}))
    assert os.listdir(tmp_path / "artifacts/sites/dpl_1") == ["new.html"]


def test_deleting_takes_the_tree_away(store: DiskStore, tmp_path: Path) -> None:
    digest, size = store.put_bytes([b"<h1>"])
    manifest = Manifest(deployment="dpl_1", files={"index.html": Entry(digest, size, "text/html")})
    store.publish(manifest)
    store.lay_out(manifest)
    store.delete("dpl_1")
    assert os.listdir(tmp_path / "artifacts/sites") == []
    assert os.listdir(tmp_path / "artifacts/incoming") == []


def test_a_folder_that_cannot_be_made_is_a_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFault, match="cannot be used"):
        DiskStore(tmp_path / "file" / "artifacts")


def test_more_new_contents_than_are_flushed_one_by_one_are_published_too(
    store: DiskStore,
) -> None:
    files = {f"{n}.txt": Entry(*store.put_bytes([b"%d" % n]), "text/plain") for n in range(200)}
    store.publish(Manifest(deployment="dpl_1", files=files))
    assert len(store.manifest("dpl_1").files) == 200


def test_what_was_seen_is_not_asked_of_the_disk_again(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, size = store.put_bytes([b"<h1>"])
    manifest = Manifest(deployment="dpl_1", files={"index.html": Entry(digest, size, "text/html")})
    assert store.missing([digest]) == []
    store.flush([digest])
    asked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **how: asked.append(path) or stat(path, **how))
    assert store.missing([digest]) == []
    store.publish(manifest)
    assert [path for path in asked if str(path).endswith(digest[2:])] == []


def test_after_a_sweep_by_another_process_the_disk_is_asked_again(
    store: DiskStore, tmp_path: Path
) -> None:
    other = DiskStore(tmp_path / "artifacts")
    digest, size = store.put_bytes([b"<h1>"])
    assert store.missing([digest]) == []
    with other.sweeping() as remove:
        assert store.missing([digest]) == []
        remove([Content(digest, size, 0.0)])
        assert store.missing([digest]) == [digest]
    assert store.missing([digest]) == [digest]
    gone = Manifest(deployment="dpl_1", files={"index.html": Entry(digest, size, "text/html")})
    with pytest.raises(StoreFault):
        store.publish(gone)


def test_a_sweep_that_was_killed_leaves_nothing_to_be_believed(
    store: DiskStore, tmp_path: Path
) -> None:
    digest, _ = store.put_bytes([b"<h1>"])
    killed = store.sweeping()
    killed.__enter__()
    assert store.missing([digest]) == []
    store.path(digest).unlink()
    del killed
    assert store.missing([digest]) == [digest]


def test_laying_out_a_site_makes_no_content_wait_for_the_disk_again(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {f"{number}.txt": store.put_bytes([str(number).encode()]) for number in range(80)}
    files = {name: Entry(digest, size, "text/plain") for name, (digest, size) in entries.items()}
    store.publish(Manifest(deployment="dpl_1", files=files))
    store.lay_out(Manifest(deployment="dpl_1", files=files))
    flushed: list[None] = []
    monkeypatch.setattr(store, "_flush_all", lambda: flushed.append(None))
    assert store.missing([entry.digest for entry in files.values()]) == []
    store.publish(Manifest(deployment="dpl_2", files=files))
    assert flushed == []
