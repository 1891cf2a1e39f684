"""What is kept between builds: dependencies, downloads, and frameworks' own caches.

Everything kept belongs to a scope: a project, and whether the code that made it is
trusted. Code that is not (a pull request from a fork) reads what trusted code left,
and writes to a shelf of its own, so that it cannot slip anything into production.
The whole is bounded; what was used least recently goes first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.builders.sandbox.usage import disk_of
from bot.errors import SystemFault
from bot.observe import lookups


@dataclass(frozen=True, kw_only=True)
class CacheScope:
    """Whose build it is. `trusted`: whether it may leave something for trusted builds.

    `sealed` names the context whose secrets the build sees: frameworks write them into what
    they keep, so that is shown to no build that does not see them. Empty: it sees none.
    """

    project: str
    trusted: bool
    sealed: str = ""

    @property
    def own(self) -> str:
        """The shelf that this scope writes to."""
        project = hashlib.sha256(self.project.encode()).hexdigest()[:16]
        shelf = f"sealed-{self.sealed}" if self.sealed else "trusted"
        return f"{project}-{shelf if self.trusted else 'untrusted'}"

    @property
    def readable(self) -> tuple[str, ...]:
        """The shelves that this scope reads from, its own first."""
        if self.trusted and not self.sealed:
            return (self.own,)
        return (self.own, CacheScope(project=self.project, trusted=True).own)


class Caches:
    """Folders kept by (kind, scope, key), for many builds and processes at once.

    An entry is whole or not there. `size` is the bound in bytes for all of them.
    """

    def __init__(self, root: Path, size: int) -> None:
        self._root = root
        self._size = size

    @contextlib.contextmanager
    def borrow(self, kind: str, scope: CacheScope, key: str) -> Iterator[Path | None]:
        """The entry for reading, held until the block ends; None where there is none."""
        with contextlib.ExitStack() as stack:
            for shelf in scope.readable:
                path = self._root / kind / shelf / key
                if path.is_dir() and stack.enter_context(_locked(path, fcntl.LOCK_SH)):
                    lookups.note(kind, True)
                    yield path
                    return
            lookups.note(kind, False)
            yield None

    def put(
        self, kind: str, scope: CacheScope, key: str, folder: Path, *, replace: bool = False
    ) -> None:
        """Move a folder in as an entry. The folder is gone afterwards.

        Where there is one already it stays, or gives way with `replace` unless it is lent.
        """
        path = self._root / kind / scope.own / key
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._draft()
        try:
            whole = draft / "whole"
            move(folder, whole)
            if replace and path.is_dir():
                self._evict(path)
            with contextlib.suppress(OSError):  # there is one
                whole.rename(path)
                _lock_of(path).touch()
                _size_of(path).write_text(str(disk_of(path)))
        finally:
            remove(draft)

    def take(self, kind: str, scope: CacheScope, key: str, target: Path) -> bool:
        """Move an entry out, to be put back later; a copy of what others left.

        Answers whether there was one. `target` must not exist, its parent must.
        """
        own = self._root / kind / scope.own / key
        if own.is_dir():
            with _locked(own, fcntl.LOCK_EX) as alone:
                if alone:
                    lookups.note(kind, True)
                    move(own, target)
                    return True
        with self.borrow(kind, scope, key) as entry:
            if entry is None or entry == own:
                return False
            copy(entry, target)
            return True

    def folder(self, kind: str, scope: CacheScope, key: str) -> Path:
        """A folder that stays where it is and that several builds of a scope may fill."""
        path = self._root / kind / scope.own / key
        path.mkdir(parents=True, exist_ok=True)
        _lock_of(path).touch()
        return path

    def forget(self, scope: CacheScope) -> None:
        """Throw away what a scope has kept, but for what is in use."""
        for kind in self._root.glob("*"):
            for path in _entries(kind / scope.own):
                self._evict(path)

    def trim(self) -> int:
        """Throw away what was used least recently, down to the bound; answers the bytes freed."""
        found = []
        for path in (p for shelf in self._root.glob("*/*") for p in _entries(shelf)):
            with contextlib.suppress(OSError):
                used = _lock_of(path).stat().st_mtime_ns
                found.append((used, _measured(path), path))
        excess = sum(size for _, size, _ in found) - self._size
        freed = 0
        for _, size, path in sorted(found):
            if freed >= excess:
                break
            if self._evict(path):
                freed += size
        return freed

    def _evict(self, path: Path) -> bool:
        """Remove an entry unless it is lent."""
        draft = self._draft()
        with _locked(path, fcntl.LOCK_EX) as alone:
            if alone:
                with contextlib.suppress(OSError):
                    path.rename(draft / "doomed")
                _size_of(path).unlink(missing_ok=True)
                _lock_of(path).unlink(missing_ok=True)
        remove(draft)
        return alone

    def _draft(self) -> Path:
        """A folder on the same file system that no reader looks into."""
        drafts = self._root / "drafts"
        if not drafts.is_dir():
            drafts.mkdir(parents=True, exist_ok=True)
            # Builds that see the host's files may walk down to their own, not look around.
            self._root.chmod(0o711)
        return Path(tempfile.mkdtemp(dir=drafts))


def copy(source: Path, target: Path) -> None:
    """Copy a folder as it is, sharing blocks where the file system can (not inodes)."""
    argv = ("cp", "-a", "--reflink=auto", "--", str(source), str(target))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemFault("cache-failed", f"A kept folder could not be copied: {done.stderr}")


def move(source: Path, target: Path) -> None:
    """Rename, or copy and remove where the file systems differ."""
    try:
        source.rename(target)
    except OSError:
        copy(source, target)
        remove(source)


def plain_folder(base: Path, relative: str) -> Path | None:
    """`base/relative` if all of it below `base` are real folders, no links."""
    found = base
    for part in Path(relative).parts:
        found = found / part
        if part == ".." or found.is_symlink() or not found.is_dir():
            return None
    return found


def _entries(shelf: Path) -> list[Path]:
    if shelf.parent.name == "drafts":
        return []
    return [path for path in shelf.glob("*") if path.is_dir()]


def _measured(path: Path) -> int:
    """An entry's size: measured once, unless it is one that builds go on filling."""
    try:
        return int(_size_of(path).read_text())
    except (OSError, ValueError):
        return disk_of(path)


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _size_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.size")


def remove(folder: Path) -> None:
    """Also where a build has taken rights away from folders."""

    def insist(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700, follow_symlinks=False) if not os.path.islink(path) else None
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)

    shutil.rmtree(folder, onerror=insist)


@contextlib.contextmanager
def _locked(path: Path, kind: int) -> Iterator[bool]:
    """Try to lock an entry; answers whether it is locked, and still there."""
    descriptor = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _try_lock(descriptor, path, kind)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        # It may have been thrown away, and made anew, between opening and locking.
        if not os.path.samestat(os.fstat(descriptor), os.stat(_lock_of(path))):
            return False
    except (BlockingIOError, FileNotFoundError):
        return False
    os.utime(descriptor)
    return path.is_dir()
