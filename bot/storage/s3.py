"""The store in an S3 bucket, with a bounded cache on each machine's disk.

objects/ab/cdef…      contents by SHA-256
manifests/<id>.json   one for each deployment, written last: what makes it visible
coordination/…        what keeps sweeps and publishings apart (`bot.storage.sweep_guard`)

There are no trees for front servers here: they ask the bot for everything.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import msgspec

from bot.cache import Cache, MemoryCache
from bot.observe import lookups
from bot.storage.batch import Batch
from bot.storage.bucket import Bucket, parse_location
from bot.storage.confirmed import Confirmed
from bot.storage.content_cache import ContentCache, WrongContent
from bot.storage.disk import digest_of
from bot.storage.manifest import Manifest, decode, encode
from bot.storage.remote_file import RemoteFile
from bot.storage.store import Content, NotPublished, StoreFault
from bot.storage.sweep_guard import Permit, SweepGuard

# Contents up to this size are made in memory, and sent without asking whether they are there.
_IN_MEMORY = 1 << 20
_SMALL = 256 << 10
# Larger contents are given out as they come, and kept once they have come as a whole.
_WAITED_FOR = 2 << 20
_THREADS = 16
# A content that no deployment may refer to is made young again before it is relied on.
_OLD = 3600.0  # seconds
_CHUNK = 256 << 10
_MANIFEST_KEPT = 600.0  # seconds, should the cache not be told of a newer one
_T = TypeVar("_T")


class S3Store:
    """A `Store` in one bucket; safe for many threads and processes, on many machines."""

    def __init__(
        self, url: str, cache: Path, cache_size: int, manifests: Cache | None = None
    ) -> None:
        """`cache_size`: bytes that contents may take in the folder `cache`.

        `manifests`: where those are kept that pages are made from.
        """
        self._manifests = manifests or MemoryCache()
        self._bucket = Bucket(parse_location(url))
        self._cache = ContentCache(cache, cache_size)
        self._guard = SweepGuard(self._bucket)
        self._confirmed = Confirmed()
        self._batches = threading.local()
        self._fetching = [threading.Lock() for _ in range(64)]
        self._on_their_way: set[str] = set()
        self._pools: dict[int, tuple[ThreadPoolExecutor, ThreadPoolExecutor]] = {}

    @contextmanager
    def batch(self) -> Iterator[None]:
        batch = Batch(self._senders())
        self._batches.current = batch
        try:
            yield
            batch.finish()
        finally:
            self._batches.current = None
            batch.abandon()

    def expect(self, deployment_id: str) -> None:
        if not deployment_id:
            return
        epoch = self._guard.epoch()
        with contextlib.suppress(NotPublished):
            manifest = self.manifest(deployment_id)
            for entry in manifest.files.values():
                self._confirmed.add(entry.digest, entry.size, epoch)
                for variant in entry.variants:
                    self._confirmed.add(variant.digest, variant.size, epoch)

    def put_file(self, path: Path, known: tuple[str, int] | None = None) -> tuple[str, int]:
        with _faults("cannot take a file"):
            digest, size = known or digest_of(path)
            self._put_path(digest, size, path)
        return digest, size

    def put_bytes(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        head: list[bytes] = []
        size = 0
        rest = iter(chunks)
        for chunk in rest:
            head.append(chunk)
            size += len(chunk)
            if size > _IN_MEMORY:
                return self._put_stream(head, rest)
        content = b"".join(head)
        digest = hashlib.sha256(content).hexdigest()

        def send() -> None:
            epoch = self._guard.epoch()
            if size <= _SMALL or not self._is_young(digest, size):
                self._bucket.put(_key(digest), content, digest)
            self._confirmed.add(digest, size, epoch)
            with contextlib.suppress(OSError):
                self._cache.take_bytes(digest, content)

        self._send(digest, send)
        return digest, size

    def open(self, digest: str) -> BinaryIO:
        cached = self._cache.open(digest)
        lookups.note("contents", cached is not None)
        if cached is not None:
            return cached
        with self._fetching[hash(digest) % len(self._fetching)]:
            cached = self._cache.open(digest)
            return cached if cached is not None else self._fetch(digest)

    def size(self, digest: str) -> int | None:
        epoch = self._guard.epoch()
        known = self._confirmed.size(digest, epoch)
        if known is not None:
            return known
        found = self._bucket.head(_key(digest))
        if found is None:
            return None
        self._confirmed.add(digest, found.size, epoch, old=found.age > _OLD)
        return found.size

    def missing(self, digests: Collection[str]) -> list[str]:
        self._guard.epoch_now()
        sizes = self._in_parallel(self.size, digests)
        return [digest for digest, size in zip(digests, sizes, strict=True) if size is None]

    def flush(self, digests: Collection[str]) -> None:
        """What is there is durable; what may soon be swept is not, until it is young again."""
        old = [digest for digest in digests if self._confirmed.is_old(digest)]
        self._in_parallel(self._renew, old)

    def publish(self, manifest: Manifest) -> None:
        content = encode(manifest)
        with self._guard.publishing() as permit:
            unsure = self._confirmed.unsure(set(manifest.digests()), permit.epoch)
            for digest, found in zip(
                unsure, self._in_parallel(self._bucket.head, map(_key, unsure)), strict=True
            ):
                if found is None:
                    self._confirmed.forget(digest)
                    raise StoreFault(f"The content {digest} is not in the store any more.")
                self._confirmed.add(digest, found.size, permit.epoch)
            permit.assure()
            self._bucket.put(_manifest_key(manifest.deployment), content)
        self._manifests.put(f"manifest:{manifest.deployment}", content, _MANIFEST_KEPT)

    def manifest(self, deployment_id: str) -> Manifest:
        try:
            return decode(self._bucket.get(_manifest_key(deployment_id)))
        except FileNotFoundError:
            raise NotPublished(deployment_id) from None

    def known_manifest(self, deployment_id: str) -> Manifest:
        key = f"manifest:{deployment_id}"
        (kept,) = self._manifests.get(key)
        lookups.note("manifests", kept is not None)
        if kept is not None:
            with contextlib.suppress(msgspec.MsgspecError):  # of another version of the bot
                return decode(kept)
        manifest = self.manifest(deployment_id)
        # Whoever publishes it anew meanwhile puts the new one there first.
        self._manifests.add(key, encode(manifest), _MANIFEST_KEPT)
        return manifest

    def lay_out(self, manifest: Manifest) -> None:
        """Front servers cannot read a bucket by themselves."""

    def hide(self, deployment_id: str) -> None:
        """There is nothing that they could show."""

    def delete(self, deployment_id: str) -> None:
        self._bucket.delete([_manifest_key(deployment_id)])
        self._manifests.forget(f"manifest:{deployment_id}")

    def deployments(self) -> Iterator[tuple[str, str, float]]:
        for found in self._bucket.list("manifests/"):
            name = found.key.rpartition("/")[2]
            yield name.removesuffix(".json"), found.etag, found.age

    def contents(self) -> Iterator[Content]:
        for found in self._bucket.list("objects/"):
            digest = found.key.removeprefix("objects/").replace("/", "")
            yield Content(digest, found.size, found.age)

    @contextmanager
    def sweeping(self) -> Iterator[Callable[[Sequence[Content]], int]]:
        with self._guard.sweeping() as permit:
            yield lambda contents: self._remove(contents, permit)

    def tidy(self) -> None:
        """The server itself keeps nothing of what was not sent as a whole."""

    def _remove(self, contents: Sequence[Content], permit: Permit) -> int:
        permit.assure()
        self._bucket.delete([_key(content.digest) for content in contents])
        for content in contents:
            self._confirmed.forget(content.digest)
        return sum(content.size for content in contents)

    def _put_path(self, digest: str, size: int, path: Path) -> None:
        def send() -> None:
            epoch = self._guard.epoch()
            if size <= _SMALL or not self._is_young(digest, size):
                self._bucket.put_path(_key(digest), path, size, digest)
            self._confirmed.add(digest, size, epoch)
            with contextlib.suppress(OSError):
                self._cache.take_copy(digest, path, size)

        self._send(digest, send)

    def _put_stream(self, head: list[bytes], rest: Iterable[bytes]) -> tuple[str, int]:
        draft = self._cache.draft()
        hasher = hashlib.sha256()
        size = 0
        with _faults("cannot take a file"):
            try:
                with draft.open("xb") as file:
                    for chunks in (head, rest):
                        for chunk in chunks:
                            hasher.update(chunk)
                            size += file.write(chunk)
                digest = hasher.hexdigest()
                epoch = self._guard.epoch()
                if not self._confirmed.holds(digest, epoch) and not self._is_young(digest, size):
                    self._bucket.put_path(_key(digest), draft, size, digest)
                self._confirmed.add(digest, size, epoch)
                self._cache.take_copy(digest, draft, size)
            finally:
                draft.unlink(missing_ok=True)
        return digest, size

    def _send(self, digest: str, send: Callable[[], None]) -> None:
        """Send a content now, or beside others where this thread has opened a batch."""
        if self._confirmed.holds(digest, self._guard.epoch()):
            return
        batch: Batch | None = getattr(self._batches, "current", None)
        if batch is None:
            send()
        else:
            batch.add(digest, send)

    def _is_young(self, digest: str, size: int) -> bool:
        """Whether a content is there, whole, and for a while yet even if nothing refers to it."""
        found = self._bucket.head(_key(digest))
        return found is not None and found.size == size and found.age < _OLD

    def _renew(self, digest: str) -> None:
        try:
            self._bucket.renew(_key(digest))
        except FileNotFoundError:
            self._confirmed.forget(digest)
            raise StoreFault(f"The content {digest} is not in the store any more.") from None
        self._confirmed.renewed(digest)

    def _fetch(self, digest: str) -> BinaryIO:
        stream, size = self._bucket.stream(_key(digest))
        file = RemoteFile(self._bucket, _key(digest), digest, size, stream)
        if size > _WAITED_FOR or not self._cache.keeps(size):
            if self._cache.keeps(size):
                self._fetch_later(digest)
            return cast(BinaryIO, file)
        with file, _faults("cannot keep what was read"):
            try:
                return self._cache.receive(digest, iter(lambda: file.read(_CHUNK) or b"", b""))
            except WrongContent:
                # On its way, perhaps: once more, from the beginning.
                file.seek(0)
                return self._cache.receive(digest, iter(lambda: file.read(_CHUNK) or b"", b""))

    def _fetch_later(self, digest: str) -> None:
        """Have the next reader find it on this machine's disk."""

        def fetch() -> None:
            try:
                stream, size = self._bucket.stream(_key(digest))
                with RemoteFile(self._bucket, _key(digest), digest, size, stream) as file:
                    chunks = iter(lambda: file.read(_CHUNK) or b"", b"")
                    self._cache.receive(digest, chunks).close()
            except (StoreFault, OSError):
                pass  # whoever asks for it next tries again
            finally:
                self._on_their_way.discard(digest)

        if digest not in self._on_their_way:
            self._on_their_way.add(digest)
            self._executors()[1].submit(fetch)

    def _in_parallel(self, ask: Callable[[str], _T], of: Iterable[str]) -> list[_T]:
        found = list(of)
        if len(found) < 2:
            return [ask(each) for each in found]
        return list(self._senders().map(ask, found))

    def _senders(self) -> ThreadPoolExecutor:
        return self._executors()[0]

    def _executors(self) -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
        # Threads are not carried over a fork.
        process = os.getpid()
        if process not in self._pools:
            self._pools = {
                process: (
                    ThreadPoolExecutor(_THREADS, "store"),
                    ThreadPoolExecutor(2, "store fetches"),
                )
            }
        return self._pools[process]


def _key(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest[2:]}"


def _manifest_key(deployment_id: str) -> str:
    return f"manifests/{deployment_id}.json"


@contextmanager
def _faults(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise StoreFault(f"The store {what}: {error}") from error
