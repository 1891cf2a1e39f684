"""What only the store in a bucket promises: what it survives, and how much it asks for."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.cache import open_cache
from bot.errors import InvalidSetting
from bot.storage import s3, sweep_guard
from bot.storage.bucket import Location, parse_location
from bot.storage.content_cache import ContentCache, WrongContent
from bot.storage.manifest import Entry, Manifest
from bot.storage.remote_file import RemoteFile
from bot.storage.s3 import S3Store
from bot.storage.store import NotPublished, StoreFault
from bot.storage.variants import add_variants
from tests.storage.s3_server import FaultyProxy

ROOM = 1 << 30
LARGE = os.urandom(1 << 16) * 100  # more than a reader waits for


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[..., S3Store]:
    """Opens the store at a URL as another machine would: with a cache of its own."""

    def open_store(url: str, name: str = "cache", room: int = ROOM) -> S3Store:
        return S3Store(url, tmp_path / name, room)

    return open_store


def publish(store: S3Store, contents: list[bytes], deployment: str = "dpl_1") -> Manifest:
    with store.batch():
        entries = {
            f"{n}.html": Entry(*store.put_bytes([content]), "text/html")
            for n, content in enumerate(contents)
        }
    manifest = Manifest(deployment=deployment, files=entries)
    store.publish(manifest)
    return manifest


def read(store: S3Store, digest: str) -> bytes:
    with store.open(digest) as file:
        return file.read()


def count_calls(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that the store makes from now on."""
    calls: list[str] = []
    client = store._bucket._client()
    client.meta.events.register(
        "before-call.s3", lambda model, **_: calls.append(model.name), unique_id="count"
    )
    return calls


@pytest.fixture(params=["memory", "redis"])
def cache_url(request: pytest.FixtureRequest) -> str:
    """Where manifests are kept for pages."""
    return "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


def test_pages_ask_the_bucket_for_a_manifest_once(
    new_bucket: Callable[..., str],
    cache_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = new_bucket()
    published = publish(S3Store(url, tmp_path / "writer", ROOM), [b"one"])
    reader = S3Store(url, tmp_path / "reader", ROOM, open_cache(cache_url))
    calls = count_calls(reader, monkeypatch)
    assert [reader.known_manifest("dpl_1") for _ in range(3)] == [published] * 3
    assert calls == ["GetObject"]
    for _ in range(2):
        with pytest.raises(NotPublished):
            reader.known_manifest("dpl_2")
    assert len(calls) == 3


def test_who_publishes_again_or_deletes_tells_the_pages_of_all_machines(
    new_bucket: Callable[..., str], redis_url: str, tmp_path: Path
) -> None:
    url = new_bucket()
    reader, writer = (
        S3Store(url, tmp_path / name, ROOM, open_cache(redis_url)) for name in ("one", "two")
    )
    publish(writer, [b"first"])
    assert len(reader.known_manifest("dpl_1").files) == 1
    again = publish(writer, [b"second", b"third"])
    assert reader.known_manifest("dpl_1") == again
    writer.delete("dpl_1")
    with pytest.raises(NotPublished):
        reader.known_manifest("dpl_1")


def test_without_its_cache_a_store_serves_all_the_same(
    new_bucket: Callable[..., str], tmp_path: Path
) -> None:
    store = S3Store(new_bucket(), tmp_path / "cache", ROOM, open_cache("redis://127.0.0.1:9/0"))
    published = publish(store, [b"one"])
    assert store.known_manifest("dpl_1") == store.known_manifest("dpl_1") == published


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://b", Location("b", "", None, None)),
        ("s3://b/", Location("b", "", None, None)),
        (
            "s3://b/x/y/?endpoint=http://h:9&region=r",
            Location("b", "x/y/", "http://h:9", "r"),
        ),
    ],
)
def test_a_location_is_read_from_a_url(url: str, expected: Location) -> None:
    assert parse_location(url) == expected


@pytest.mark.parametrize(
    "url", ["s3:///x", "s3://key:secret@b/", "s3://b?endpoint=host", "s3://b?acl=public"]
)
def test_a_url_that_cannot_be_used_is_refused_with_the_setting_named(url: str) -> None:
    with pytest.raises(InvalidSetting, match="STORAGE_URL"):
        parse_location(url)


def test_a_tenth_of_all_calls_may_fail_and_nobody_notices(
    new_bucket: Callable[..., str], s3_proxy: FaultyProxy, open_store: Callable[..., S3Store]
) -> None:
    url = new_bucket(s3_proxy.url)
    s3_proxy.share = 0.1
    contents = [b"<h1>%d" % number for number in range(25)] + [LARGE]
    for round_ in range(2):
        writer = open_store(url, f"writer-{round_}")
        manifest = publish(writer, contents, f"dpl_{round_}")
        assert add_variants(writer, f"dpl_{round_}") is not None
        reader = open_store(url, f"reader-{round_}")
        found = reader.manifest(f"dpl_{round_}")
        assert found.files.keys() == manifest.files.keys()
        for number, content in enumerate(contents):
            assert read(reader, found.files[f"{number}.html"].digest) == content
    assert s3_proxy.failed > 10
    assert s3_proxy.passed > 100


def test_a_store_that_is_down_is_a_fault_and_never_an_absence(
    new_bucket: Callable[..., str],
    s3_proxy: FaultyProxy,
    open_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.storage.bucket._ATTEMPTS", 2)
    monkeypatch.setattr("bot.storage.remote_file._ATTEMPTS", 2)
    url = new_bucket(s3_proxy.url)
    digest = publish(open_store(url), [b"<h1>"]).files["0.html"].digest
    other = open_store(url, "other")
    s3_proxy.share = 1
    asked: list[Callable[[], Any]] = [
        lambda: other.manifest("dpl_1"),
        lambda: other.open(digest),
        lambda: other.size(digest),
        lambda: other.missing([digest, digest]),
        lambda: other.put_bytes([b"new"]),
        lambda: other.delete("dpl_1"),
        lambda: list(other.contents()),
    ]
    for ask in asked:
        with pytest.raises(StoreFault) as raised:
            ask()
        assert raised.value.code == "store-fault"
    s3_proxy.share = 0
    assert read(other, digest) == b"<h1>"


def test_a_bucket_that_does_not_exist_is_a_fault(
    new_bucket: Callable[..., str], open_store: Callable[..., S3Store]
) -> None:
    store = open_store(new_bucket().replace("bucket-", "none-"))
    with pytest.raises(StoreFault, match="NoSuchBucket"):
        store.manifest("dpl_1")


def test_what_is_in_the_cache_is_read_while_the_store_is_down(
    new_bucket: Callable[..., str], s3_proxy: FaultyProxy, open_store: Callable[..., S3Store]
) -> None:
    store = open_store(new_bucket(s3_proxy.url))
    digest = publish(store, [b"<h1>"]).files["0.html"].digest
    s3_proxy.share = 1
    assert read(store, digest) == b"<h1>"


def test_an_upload_that_fails_leaves_nothing_published(
    new_bucket: Callable[..., str],
    s3_proxy: FaultyProxy,
    open_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as without_repeats:
        without_repeats.setattr("bot.storage.bucket._ATTEMPTS", 1)
        store = open_store(new_bucket(s3_proxy.url))
    publish(store, [b"first"])
    s3_proxy.share = 1
    with pytest.raises(StoreFault):
        publish(store, [b"%d" % number for number in range(200)], "dpl_2")
    s3_proxy.share = 0
    # By connections of its own: the other's may still be closed under its hands.
    reader = open_store(store_url(store), "reader")
    assert [found[0] for found in reader.deployments()] == ["dpl_1"]


def test_a_damaged_content_is_never_given_out(
    new_bucket: Callable[..., str], open_store: Callable[..., S3Store]
) -> None:
    store = open_store(new_bucket())
    for content in (b"<h1>", LARGE):
        digest = publish(store, [content]).files["0.html"].digest
        store._bucket.put(s3._key(digest), b"X" * len(content))
        with (
            pytest.raises(WrongContent),
            open_store(store_url(store), f"reader-{len(content)}").open(digest) as file,
        ):
            file.read()


def store_url(store: S3Store) -> str:
    location = store._bucket._location
    return f"s3://{location.bucket}/{location.prefix}?endpoint={location.endpoint}&region=x"


def test_a_large_content_is_not_waited_for_and_kept_afterwards(
    new_bucket: Callable[..., str], open_store: Callable[..., S3Store]
) -> None:
    digest = publish(open_store(new_bucket_url := new_bucket()), [LARGE]).files["0.html"].digest
    reader = open_store(new_bucket_url, "reader")
    with reader.open(digest) as file:
        assert isinstance(file, RemoteFile)
        file.seek(5_000_000)
        assert file.read(1000) == LARGE[5_000_000:5_001_000]
    deadline = time.monotonic() + 20
    while (kept := reader._cache.open(digest)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with kept:
        assert kept.read() == LARGE


def test_a_second_deployment_asks_for_what_changed_alone(
    new_bucket: Callable[..., str],
    open_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = new_bucket()
    contents = [b"<h1>%d" % number for number in range(100)]
    publish(open_store(url), contents)
    store = open_store(url, "other machine")
    calls = count_calls(store, monkeypatch)
    store.expect("dpl_1")
    publish(store, [*contents[:-1], b"changed"], "dpl_2")
    # The content and the manifest, the permit and its end, the epoch twice, the earlier manifest.
    assert len(calls) <= 12, calls
    assert calls.count("PutObject") == 3


def test_contents_that_may_soon_be_swept_are_made_young_when_they_are_relied_on(
    new_bucket: Callable[..., str],
    open_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = new_bucket()
    digest, _ = open_store(url).put_bytes([b"<h1>"])
    monkeypatch.setattr(s3, "_OLD", -10.0)
    store = open_store(url, "other")
    calls = count_calls(store, monkeypatch)
    assert store.missing([digest]) == []
    store.flush([digest])
    store.flush([digest])
    assert calls.count("CopyObject") == 1


def test_a_publishing_that_was_killed_does_not_stop_sweeps_for_ever(
    new_bucket: Callable[..., str],
    open_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store(new_bucket())
    store._guard = sweep_guard.SweepGuard(store._bucket, patience=0.3)
    store._bucket.put("coordination/publishing/killed", b"")
    with pytest.raises(StoreFault, match="put off"), store.sweeping():
        pytest.fail("somebody publishes")
    monkeypatch.setattr(sweep_guard, "_HOLDS", -10)
    with store.sweeping() as remove:
        assert remove([]) == 0
    assert list(store._bucket.list("coordination/publishing/")) == []


def test_after_a_sweep_that_was_killed_nothing_is_trusted_unseen(
    new_bucket: Callable[..., str],
    open_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store(new_bucket())
    digest, size = store.put_bytes([b"<h1>"])
    # It had begun to delete when it was killed, and its word holds no more.
    store._bucket.put("coordination/sweeping/killed", b"")
    store._bucket.delete([s3._key(digest)])
    monkeypatch.setattr(sweep_guard, "_HOLDS", -10)
    with pytest.raises(StoreFault, match="not in the store"):
        store.publish(Manifest(deployment="dpl_1", files={"a": Entry(digest, size, "text/html")}))


def test_a_process_that_slept_does_not_publish_on_an_old_permit() -> None:
    with pytest.raises(StoreFault, match="start over"):
        sweep_guard.Permit("epoch", time.monotonic() - 1).assure()


def test_the_cache_stays_within_its_bound_and_keeps_what_is_used(tmp_path: Path) -> None:
    room = 4 << 20
    cache = ContentCache(tmp_path / "cache", room)
    contents = [os.urandom(64 << 10) for _ in range(120)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    for digest, content in zip(digests, contents, strict=True):
        cache.take_bytes(digest, content)
        if (used := cache.open(digests[0])) is not None:
            with used:
                os.utime(used.fileno())  # used a moment ago, on a clock of milliseconds
        assert kept_bytes(tmp_path) <= room
    kept = [(tmp_path / "cache" / digest[:2] / digest[2:]).exists() for digest in digests]
    assert kept[0]
    assert not kept[1]
    assert kept[-1]
    assert not cache.keeps(room)


def kept_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_readers_are_not_disturbed_when_the_cache_lets_go_of_what_they_read(
    tmp_path: Path,
) -> None:
    cache = ContentCache(tmp_path / "cache", 1 << 20)
    contents = [os.urandom(100 << 10) for _ in range(40)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    failures: list[str] = []

    def work(start: int) -> None:
        for number in range(start, start + 80):
            which = number % len(contents)
            file = cache.open(digests[which])
            if file is None:
                file = cache.receive(digests[which], [contents[which]])
            with file:
                if file.read() != contents[which]:
                    failures.append(digests[which])

    threads = [threading.Thread(target=work, args=(13 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert kept_bytes(tmp_path) <= 1 << 20


def test_memory_does_not_grow_with_a_files_size(
    new_bucket: Callable[..., str], open_store: Callable[..., S3Store], tmp_path: Path
) -> None:
    import tracemalloc

    file = tmp_path / "large"
    block = os.urandom(1 << 20)
    with file.open("wb") as out:
        for _ in range(96):
            out.write(block)
    url = new_bucket()
    writer = open_store(url, room=200 << 20)
    tracemalloc.start()
    digest, size = writer.put_file(file)
    with open_store(url, "reader", 200 << 20).open(digest) as reader:
        while reader.read(1 << 18):
            pass
        assert reader.tell() == size == 96 << 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 48 << 20
