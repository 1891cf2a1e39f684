"""What a store on a disk holds, and taking away what nothing refers to.

A content's access time says when it was stored or relied on last: its date of change is
part of what front servers tell browsers, and stays. Publishing and sweeping exclude one
another by a lock on a file, which the system lifts from a process that dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bot.storage.store import Content

# A content that is relied on again is noted as used once in so many seconds.
OLD = 3600.0
_LOCK = "publishing.lock"  # what it says is the epoch
_LEFT = 86_400.0  # seconds after which a draft is nobody's any more


@contextlib.contextmanager
def publishing(root: Path) -> Iterator[None]:
    """While nobody sweeps; others may publish too."""
    with _locked(root, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def sweeping(root: Path) -> Iterator[None]:
    """While nobody publishes."""
    with _locked(root, fcntl.LOCK_EX) as descriptor:
        # Nothing lasts while things are deleted, nor after a sweep that was killed.
        os.ftruncate(descriptor, 0)
        yield
        os.pwrite(descriptor, _new_epoch(), 0)


def begin(root: Path) -> None:
    """Begin the first epoch of a new folder."""
    with contextlib.suppress(FileExistsError), (root / _LOCK).open("xb") as file:
        file.write(_new_epoch())


def epoch(root: Path) -> str:
    """What is there now is there for as long as this stays the same; empty: for no time."""
    return (root / _LOCK).read_text()


def deployments(root: Path) -> Iterator[tuple[str, str, float]]:
    """(id, version, age in seconds) of every manifest."""
    for found in os.scandir(root / "manifests"):
        with contextlib.suppress(FileNotFoundError):
            about = found.stat()
            version = f"{about.st_ino}-{about.st_mtime_ns}"
            yield found.name.removesuffix(".json"), version, time.time() - about.st_mtime


def contents(root: Path) -> Iterator[Content]:
    for folder in os.scandir(root / "objects"):
        for found in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):
                about = found.stat()
                age = time.time() - about.st_atime
                yield Content(folder.name + found.name, about.st_size, age)


def renew(path: str, about: os.stat_result) -> None:
    """Note that a content is relied on from now on."""
    os.utime(path, ns=(time.time_ns(), about.st_mtime_ns))


def remove(listed: Iterable[tuple[str, Content]]) -> int:
    """Delete contents, but for those relied on since they were listed; the bytes freed."""
    freed = 0
    for path, content in listed:
        with contextlib.suppress(FileNotFoundError):
            about = os.stat(path)
            if time.time() - about.st_atime + 1 >= content.age:
                os.unlink(path)
                freed += about.st_size
    return freed


def tidy(root: Path) -> None:
    """Remove drafts that killed processes left."""
    for found in os.scandir(root / "incoming"):
        with contextlib.suppress(OSError):
            if time.time() - found.stat(follow_symlinks=False).st_mtime < _LEFT:
                continue
            if found.is_dir(follow_symlinks=False):
                shutil.rmtree(found)
            else:
                os.unlink(found)


def _new_epoch() -> bytes:
    return os.urandom(8).hex().encode()


@contextlib.contextmanager
def _locked(root: Path, kind: int) -> Iterator[int]:
    descriptor = os.open(root / _LOCK, os.O_RDWR)
    try:
        fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)
