"""The store on a local disk.

objects/ab/cdef…      contents by SHA-256, read-only
manifests/<id>.json   one for each deployment: what makes it visible
sites/<id>/…          the same files as a tree of hard links
direct/<key>          leads to the sites that front servers may serve by themselves
incoming/             drafts, on the same file system, so that renames are atomic
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from bot.storage import disk_sweep, front
from bot.storage.manifest import SUFFIXES, Manifest, decode, encode
from bot.storage.store import Content, NotPublished, StoreFault

# Contents up to this size are made in memory, and not written at all if they are there.
_IN_MEMORY = 1 << 20
# Up to so many new contents are flushed one by one; more, by flushing the file system.
_FEW = 64
_FLUSHERS = 4
# Systems write contents back after half a minute (vm.dirty_expire_centisecs) at the latest.
_YOUNG = 300.0  # seconds
# What was seen is looked at again after this long, so that it counts as relied on.
_SEEN_FOR = 900.0  # seconds
_REMEMBERED = 100_000  # digests, of some 200 bytes each
_system = ctypes.CDLL(None, use_errno=True)


class DiskStore:
    """A `Store` in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._objects = str(root / "objects")
        # Digests whose contents may still be in the system's memory alone.
        self._unflushed: set[str] = set()
        # When all that there was, was flushed last. Seconds since 1970.
        self._all_flushed = 0.0
        # What was there in this epoch.
        self._epoch = ""
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        with _faults("cannot be used"):
            for name in ("objects", "manifests", "sites", "direct", "incoming"):
                (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(256):
                (root / "objects" / f"{number:02x}").mkdir(exist_ok=True)
            disk_sweep.begin(root)

    def path(self, digest: str) -> Path:
        """Where the content with this digest lies, if it is there."""
        return self._root / "objects" / digest[:2] / digest[2:]

    def _object(self, digest: str) -> str:
        """`path` as plain text: asked for with each file of each deployment."""
        return f"{self._objects}/{digest[:2]}/{digest[2:]}"

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Files are linked in faster than threads are started."""
        yield

    def expect(self, deployment_id: str) -> None:
        """Asking a disk costs microseconds."""

    def put_file(self, path: Path, known: tuple[str, int] | None = None) -> tuple[str, int]:
        with _faults("cannot take a file"):
            digest, size = known or digest_of(path)
            if not self._has(digest, size):
                self._link_or_copy(path, self.path(digest))
                self._note(digest)
        return digest, size

    def put_bytes(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        rest = iter(chunks)
        head: list[bytes] = []
        size = 0
        for chunk in rest:
            head.append(chunk)
            size += len(chunk)
            if size > _IN_MEMORY:
                return self._put_stream(_joined(head, rest))
        content = b"".join(head)
        digest = hashlib.sha256(content).hexdigest()
        if not self._has(digest, size):
            with _faults("cannot take a file"):
                draft = self._draft(digest)
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                self._move_in(draft, digest)
        return digest, size

    def open(self, digest: str) -> BinaryIO:
        return self.path(digest).open("rb")

    def size(self, digest: str) -> int | None:
        try:
            about = os.stat(self._object(digest))
        except FileNotFoundError:
            return None
        self._notice(digest, about)
        return about.st_size

    def missing(self, digests: Collection[str]) -> list[str]:
        with _faults("cannot be asked"):
            return self._look(digests)

    def flush(self, digests: Collection[str]) -> None:
        with _faults("cannot be flushed"):
            for digest in digests:
                self._use(digest, os.stat(self._object(digest)))
            with self._flushing(set(digests)):
                pass

    def publish(self, manifest: Manifest) -> None:
        with _faults("cannot publish"), disk_sweep.publishing(self._root):
            self._assure(manifest)
            with self._flushing({entry.digest for entry in manifest.files.values()}):
                descriptor, draft = tempfile.mkstemp(dir=self._incoming)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(encode(manifest))
                    file.flush()
                    os.fsync(file.fileno())
            target = self._manifest_path(manifest.deployment)
            os.replace(draft, target)
            flush_path(target.parent)

    def manifest(self, deployment_id: str) -> Manifest:
        try:
            return decode(self._manifest_path(deployment_id).read_bytes())
        except FileNotFoundError:
            raise NotPublished(deployment_id) from None

    def known_manifest(self, deployment_id: str) -> Manifest:
        return self.manifest(deployment_id)

    def lay_out(self, manifest: Manifest) -> None:
        site = self._root / "sites" / manifest.deployment
        with _faults("cannot lay out a site"):
            draft = Path(tempfile.mkdtemp(dir=self._incoming))
            draft.chmod(0o755)
            made = {""}
            for path, entry in manifest.files.items():
                folder = path.rpartition("/")[0]
                if folder not in made:
                    (draft / folder).mkdir(parents=True, exist_ok=True)
                    made.add(folder)
                os.link(self._object(entry.digest), f"{draft}/{path}")
                for variant in entry.variants:
                    beside = path + SUFFIXES[variant.encoding]
                    if beside not in manifest.files:
                        os.link(self._object(variant.digest), f"{draft}/{beside}")
            self._remove_site(site)
            draft.rename(site)
            if manifest.plain:
                front.show(self._root, manifest)

    def hide(self, deployment_id: str) -> None:
        with _faults("cannot hide a site"), contextlib.suppress(NotPublished):
            front.hide(self._root, self.manifest(deployment_id))

    def delete(self, deployment_id: str) -> None:
        self.hide(deployment_id)
        with _faults("cannot delete"):
            self._manifest_path(deployment_id).unlink(missing_ok=True)
            self._remove_site(self._root / "sites" / deployment_id)

    def deployments(self) -> Iterator[tuple[str, str, float]]:
        with _faults("cannot be listed"):
            yield from disk_sweep.deployments(self._root)

    def contents(self) -> Iterator[Content]:
        with _faults("cannot be listed"):
            yield from disk_sweep.contents(self._root)

    @contextlib.contextmanager
    def sweeping(self) -> Iterator[Callable[[Sequence[Content]], int]]:
        with _faults("cannot be swept"), disk_sweep.sweeping(self._root):
            yield self._remove

    def tidy(self) -> None:
        with _faults("cannot be tidied"):
            disk_sweep.tidy(self._root)

    def _remove(self, contents: Sequence[Content]) -> int:
        return disk_sweep.remove((self._object(content.digest), content) for content in contents)

    def _assure(self, manifest: Manifest) -> None:
        """Nothing is published that cannot be served; while it is looked at, nobody sweeps."""
        for digest in self._look(set(manifest.digests())):
            raise StoreFault(f"The content {digest} is not in the store any more.")

    def _look(self, digests: Collection[str]) -> list[str]:
        """Those that are not there. Of what was seen a moment ago the disk is not asked:
        a sweep by any process ends an epoch, and so does time."""
        seen = self._seen_now()
        unsure = set(digests) - seen
        if not unsure:
            return []
        missing = set()
        for digest in unsure:
            try:
                about = os.stat(self._object(digest))
                self._use(digest, about)
            except FileNotFoundError:
                missing.add(digest)
            else:
                self._notice(digest, about)
        seen |= unsure - missing
        return [digest for digest in digests if digest in missing] if missing else []

    def _seen_now(self) -> set[str]:
        """A set of its own for each epoch: what is added to an old one counts no more."""
        epoch = disk_sweep.epoch(self._root)
        if not epoch:
            return set()
        epoch += f".{time.monotonic() // _SEEN_FOR}"
        with self._lock:
            if epoch != self._epoch or len(self._seen) > _REMEMBERED:
                self._epoch, self._seen = epoch, set()
            return self._seen

    def _notice(self, digest: str, about: os.stat_result) -> None:
        """Another process may have stored it a moment ago."""
        if about.st_ctime > max(self._all_flushed, time.time() - _YOUNG):
            self._note(digest)

    def _use(self, digest: str, about: os.stat_result) -> None:
        """Keep a content from being swept, though nothing may refer to it yet."""
        if time.time() - about.st_atime > disk_sweep.OLD:
            disk_sweep.renew(self._object(digest), about)

    def _remove_site(self, site: Path) -> None:
        if site.exists():
            doomed = Path(tempfile.mkdtemp(dir=self._incoming))
            with contextlib.suppress(FileNotFoundError):
                site.rename(doomed / "site")
            shutil.rmtree(doomed)

    def _manifest_path(self, deployment_id: str) -> Path:
        return self._root / "manifests" / f"{deployment_id}.json"

    def _has(self, digest: str, size: int) -> bool:
        """Whether the content is there, whole: a power cut may have left an empty file."""
        try:
            about = os.stat(self._object(digest))
        except FileNotFoundError:
            return False
        self._use(digest, about)
        return about.st_size == size

    def _draft(self, name: str) -> Path:
        return self._incoming / f"{name}.{os.getpid()}.{os.urandom(4).hex()}"

    def _put_stream(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        hasher = hashlib.sha256()
        size = 0
        with _faults("cannot take a file"):
            draft = self._draft("stream")
            try:
                with draft.open("xb") as file:
                    for chunk in chunks:
                        hasher.update(chunk)
                        size += file.write(chunk)
                    os.fchmod(file.fileno(), 0o444)
                digest = hasher.hexdigest()
                self._move_in(draft, digest)
            finally:
                draft.unlink(missing_ok=True)
        return digest, size

    def _link_or_copy(self, source: Path, target: Path) -> None:
        """Bring a file in under its digest, whole or not at all."""
        draft = self._draft(target.name)
        try:
            if source.stat().st_nlink > 1:
                # Whoever knows it by another name could write to it later.
                shutil.copyfile(source, draft)
            else:
                try:
                    os.link(source, draft)
                except OSError:  # another file system, or one that has no hard links
                    shutil.copyfile(source, draft)
            os.chmod(draft, 0o444)
            with contextlib.suppress(PermissionError):
                os.chown(draft, os.geteuid(), os.getegid())
            disk_sweep.renew(str(draft), draft.stat())
            os.replace(draft, target)
        finally:
            # Renaming a link onto another link of the same file is a no-op that
            # leaves both names (POSIX rename), so the draft may still be there.
            draft.unlink(missing_ok=True)

    def _move_in(self, draft: Path, digest: str) -> None:
        os.replace(draft, self.path(digest))
        self._note(digest)

    def _note(self, digest: str) -> None:
        with self._lock:
            self._unflushed.add(digest)

    @contextlib.contextmanager
    def _flushing(self, digests: set[str]) -> Iterator[None]:
        """Have contents on the disk by the end of the block, before the manifest that names
        them is seen. What is flushed at the same time shares the file system's journal."""
        with self._lock:
            new = digests & self._unflushed
        if len(new) > _FEW:
            self._flush_all()
            yield
        else:
            with ThreadPoolExecutor(_FLUSHERS, "flush contents") as flushers:
                flushed = [flushers.submit(flush_path, self.path(digest)) for digest in new]
                yield
                for one in flushed:
                    one.result()
        with self._lock:
            self._unflushed -= new

    def _flush_all(self) -> None:
        # Times of files are as coarse as the system's clock ticks.
        started = time.time() - 0.1
        descriptor = os.open(self._root, os.O_RDONLY)
        try:
            if _system.syncfs(descriptor) != 0:
                os.sync()
        finally:
            os.close(descriptor)
        self._all_flushed = started


def digest_of(path: Path) -> tuple[str, int]:
    """(SHA-256, size). Small files are the many: each gets one read of just its size."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        expected = min(os.fstat(descriptor).st_size, _IN_MEMORY)
        hasher = hashlib.sha256()
        size = 0
        while chunk := os.read(descriptor, expected + 1):
            hasher.update(chunk)
            size += len(chunk)
    finally:
        os.close(descriptor)
    return hasher.hexdigest(), size


def _joined(head: Iterable[bytes], rest: Iterable[bytes]) -> Iterator[bytes]:
    yield from head
    yield from rest


def flush_path(path: Path) -> None:
    """Have a file's content, or a folder's names, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _faults(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFault(f"The artifact folder {what}: {error}") from error
