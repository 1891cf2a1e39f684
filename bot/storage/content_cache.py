"""Contents of a remote store on this machine's disk: bounded, least recently used first out.

All processes of a machine share the folder. A reader holds its file open, so that it may
be dropped meanwhile; what comes in is checked against its digest and appears whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from bot.storage.store import StoreFault

# What is dropped makes room for a while; several processes may each add some meanwhile.
_SHRINK_TO = 0.75
_LOOK_AFTER = 0.03  # of the bound, added by one process
_LARGEST = 0.25  # of the bound: a larger content is not kept
_TOUCH = 60.0  # seconds between notes that a content is used
_LEFT = 3600.0  # seconds after which a draft is nobody's


class WrongContent(StoreFault):
    """What was read is not what its digest says."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"The content {digest} was read damaged.")


class ContentCache:
    """Of one machine. `largest`: bytes that all of them may take together."""

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder = folder
        self._room = largest
        self._added = largest  # so that the first addition looks at what there is
        self._lock = threading.Lock()
        self._incoming = folder / "incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            for number in range(256):
                (folder / f"{number:02x}").mkdir(exist_ok=True)
        except OSError as error:
            raise StoreFault(f"The store's cache cannot be used: {error}") from error

    def keeps(self, size: int) -> bool:
        """Whether a content of this size may be kept at all."""
        return size <= self._room * _LARGEST

    def open(self, digest: str) -> BinaryIO | None:
        """The content, for reading; `None`: it is not here."""
        try:
            file = self._path(digest).open("rb")
        except FileNotFoundError:
            return None
        about = os.fstat(file.fileno())
        if time.time() - about.st_atime > _TOUCH:
            with contextlib.suppress(OSError):
                # Whatever the mount says of access times.
                os.utime(file.fileno(), ns=(time.time_ns(), about.st_mtime_ns))
        return file

    def draft(self) -> Path:
        """Where a content may be written to, to be handed to `take`."""
        return self._incoming / f"{os.getpid()}.{os.urandom(6).hex()}"

    def receive(self, digest: str, chunks: Iterable[bytes]) -> BinaryIO:
        """Keep a content, and open it. Raises `WrongContent`, `OSError`."""
        draft = self.draft()
        hasher = hashlib.sha256()
        size = 0
        try:
            with draft.open("xb") as file:
                for chunk in chunks:
                    hasher.update(chunk)
                    size += file.write(chunk)
            if hasher.hexdigest() != digest:
                raise WrongContent(digest)
            # Opened before it is kept: from then on it may be dropped at any time.
            opened = draft.open("rb")
            self.take(digest, draft, size)
            return opened
        finally:
            draft.unlink(missing_ok=True)

    def take(self, digest: str, draft: Path, size: int) -> None:
        """Keep a file that is known to be the content; it is moved away."""
        os.chmod(draft, 0o444)
        os.utime(draft)
        os.replace(draft, self._path(digest))
        self._count(size)

    def take_copy(self, digest: str, path: Path, size: int) -> None:
        """Keep a link to a file that nobody will write to, or a copy, if it may be kept."""
        if not self.keeps(size) or self._path(digest).exists():
            return
        draft = self.draft()
        try:
            try:
                if path.stat().st_nlink > 1:
                    raise OSError  # whoever knows it by another name could write to it later
                os.link(path, draft)
                os.chown(draft, os.geteuid(), os.getegid())
            except OSError:
                draft.unlink(missing_ok=True)
                shutil.copyfile(path, draft)
            self.take(digest, draft, size)
        finally:
            draft.unlink(missing_ok=True)

    def take_bytes(self, digest: str, content: bytes) -> None:
        """Keep a content that is in memory, if it may be kept."""
        if self.keeps(len(content)) and not self._path(digest).exists():
            self.receive(digest, [content]).close()

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]

    def _count(self, size: int) -> None:
        with self._lock:
            self._added += size
            due = self._added >= self._room * _LOOK_AFTER
            if due:
                self._added = 0
        if due:
            self._shrink()

    def _shrink(self) -> None:
        """Drop what was not used for the longest time, if it is too much by now."""
        with (self._folder / "shrinking").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process is at it
            kept = sorted(self._kept())
            total = sum(size for _, size, _ in kept)
            # Others add too, so it starts before the bound is reached.
            if total <= self._room * (1 - _LOOK_AFTER * 4):
                return
            for _, size, path in kept:
                if total <= self._room * _SHRINK_TO:
                    break
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                total -= size

    def _kept(self) -> Iterable[tuple[float, int, str]]:
        """(last used, size on disk, path) of all that is here; old drafts first of all."""
        for folder in os.scandir(self._folder):
            if not folder.is_dir():
                continue
            drafts = folder.name == "incoming"
            for found in os.scandir(folder):
                with contextlib.suppress(FileNotFoundError):
                    about = found.stat()
                    if not drafts:
                        yield about.st_atime, about.st_blocks * 512, found.path
                    elif time.time() - about.st_mtime > _LEFT:
                        yield 0.0, about.st_blocks * 512, found.path
