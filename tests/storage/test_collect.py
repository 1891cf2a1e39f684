"""What nothing refers to is freed, and nothing else, whatever is published meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

import pytest

from bot.storage.collect import LEAST_AGE, Collected, collect
from bot.storage.manifest import Entry, Manifest, Variant
from bot.storage.store import NotPublished, Store


def put(store: Store, text: bytes) -> Entry:
    return Entry(*store.put_bytes([text]), "text/html")


def publish(store: Store, deployment: str, *texts: bytes) -> Manifest:
    files = {f"{number}.html": put(store, text) for number, text in enumerate(texts)}
    manifest = Manifest(deployment=deployment, files=files, created_at=1)
    store.publish(manifest)
    return manifest


def here(store: Store, texts: Iterable[bytes]) -> list[bytes]:
    """Those of `texts` that are stored."""
    from hashlib import sha256

    digests = {sha256(text).hexdigest(): text for text in texts}
    gone = set(store.missing(list(digests)))
    return [text for digest, text in digests.items() if digest not in gone]


def test_what_a_deleted_deployment_shared_with_no_other_goes(store: Store) -> None:
    publish(store, "dpl_1", b"shared", b"of the first")
    publish(store, "dpl_2", b"shared", b"of the second")
    store.delete("dpl_1")
    assert collect(store, least_age=-60) == Collected(1, len(b"of the first"), 2)
    assert here(store, [b"shared", b"of the first", b"of the second"]) == [
        b"shared",
        b"of the second",
    ]
    with pytest.raises(NotPublished):
        store.manifest("dpl_1")


def test_variants_of_what_is_served_stay(store: Store) -> None:
    plain, small = put(store, b"plain" * 100), put(store, b"small")
    entry = Entry(
        plain.digest, plain.size, "text/css", variants=(Variant("br", small.digest, small.size),)
    )
    store.publish(Manifest(deployment="dpl_1", files={"a.css": entry}, created_at=1))
    assert collect(store, least_age=-60).contents == 0
    assert here(store, [b"small"]) == [b"small"]


def test_what_was_stored_within_a_day_stays(store: Store) -> None:
    put(store, b"on its way into a deployment")
    assert LEAST_AGE == 24 * 3600
    assert collect(store) == Collected(0, 0, 1, later=28)


def test_a_dry_run_frees_nothing_and_says_what_would_be(store: Store) -> None:
    put(store, b"garbage")
    assert collect(store, dry_run=True, least_age=-60) == Collected(1, 7, 0)
    assert here(store, [b"garbage"]) == [b"garbage"]
    assert collect(store, least_age=-60) == Collected(1, 7, 0)


def test_what_is_published_after_the_listing_stays(store: Store, second: Store) -> None:
    """Somebody publishes contents that were unneeded when they were listed."""
    publish(store, "dpl_1", b"<h1>")
    store.delete("dpl_1")
    sweeping = store.sweeping

    @contextmanager
    def late() -> Any:
        publish(second, "dpl_2", b"<h1>")
        with sweeping() as remove:
            yield remove

    store.sweeping = late  # type: ignore[method-assign]
    assert collect(store, least_age=-60) == Collected(0, 0, 1)
    assert second.manifest("dpl_2").files.keys() == {"0.html"}
    assert here(second, [b"<h1>"]) == [b"<h1>"]


def test_an_empty_store_is_no_trouble(store: Store) -> None:
    assert collect(store) == Collected(0, 0, 0)
