"""Compressed variants of a deployment's files, made after it went live.

Each content is compressed once: what an earlier deployment had is taken over. It is
not in charge of which variant a client gets (`bot.serve.negotiation` is), nor of when
this happens: nothing waits for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import brotli
import msgspec
import zstandard

from bot.storage.manifest import Entry, Manifest, Variant
from bot.storage.store import NotPublished, Store

# A smaller answer fits into the same packet; a larger file takes too long.
_SMALLEST, _LARGEST = 256, 16 << 20
# A variant must save this share of the file, or it is not worth its room.
_WORTH = 0.95
_COMPRESSIBLE = {
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/rss+xml",
    "application/atom+xml",
    "application/wasm",
    "application/xml",
    "application/xhtml+xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
}


def _brotli(content: bytes) -> bytes:
    compressed: bytes = brotli.compress(content, quality=9)
    return compressed


def _zstd(content: bytes) -> bytes:
    # Browsers refuse windows over 8 MB: https://www.rfc-editor.org/rfc/rfc9659
    parameters = zstandard.ZstdCompressionParameters.from_level(15, window_log=23)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


def _gzip(content: bytes) -> bytes:
    # Without a time of day or a name in its head, so that equal contents stay equal.
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return compressor.compress(content) + compressor.flush()


_CODINGS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("br", _brotli),
    ("zstd", _zstd),
    ("gzip", _gzip),
)


def add_variants(store: Store, deployment_id: str, previous_id: str = "") -> Manifest | None:
    """Compress what is new of a live deployment, and publish its manifest again with it.

    `previous_id` is an earlier deployment whose variants are taken over; empty: none.
    `None`: there was nothing to do, or the deployment is gone. May be called again
    after it was interrupted. Raises `StoreFault`.
    """
    try:
        manifest = store.manifest(deployment_id)
    except NotPublished:
        return None
    if manifest.compressed:
        return None
    known = _variants_of(store, previous_id)
    with store.batch():
        files = {
            path: _with_variants(store, entry, known) for path, entry in manifest.files.items()
        }
    compressed = msgspec.structs.replace(manifest, files=files, compressed=True)
    try:
        store.manifest(deployment_id)  # it may have been deleted meanwhile
    except NotPublished:
        return None
    store.publish(compressed)
    return compressed


def encoded(content: bytes, encoding: str) -> bytes:
    """A content in one of the codings that variants have; the same for equal contents."""
    return dict(_CODINGS)[encoding](content)


def is_compressible(entry: Entry) -> bool:
    """Whether a file is worth trying."""
    media_type = entry.media_type.partition(";")[0]
    if not _SMALLEST <= entry.size <= _LARGEST:
        return False
    return media_type.startswith("text/") or media_type in _COMPRESSIBLE


def _with_variants(store: Store, entry: Entry, known: dict[str, tuple[Variant, ...]]) -> Entry:
    if not is_compressible(entry):
        return entry
    variants = known.get(entry.digest)
    if variants is None:
        variants = known[entry.digest] = _compress(store, entry)
    return msgspec.structs.replace(entry, variants=variants)


def _compress(store: Store, entry: Entry) -> tuple[Variant, ...]:
    with store.open(entry.digest) as file:
        content = file.read()
    made = []
    for encoding, compress in _CODINGS:
        compressed = compress(content)
        if len(compressed) <= entry.size * _WORTH:
            digest, size = store.put_bytes([compressed])
            made.append(Variant(encoding, digest, size))
    return tuple(sorted(made, key=lambda variant: variant.size))


def _variants_of(store: Store, deployment_id: str) -> dict[str, tuple[Variant, ...]]:
    if not deployment_id:
        return {}
    try:
        earlier: Mapping[str, Entry] = store.manifest(deployment_id).files
    except NotPublished:
        return {}
    return {e.digest: e.variants for e in earlier.values() if e.variants}
