"""A persistent bare repository that commits are fetched into, one process at a time.

It keeps shallow commits, each under `refs/commits/<sha>`: the newest few are what
the next fetch tells the server it has, so that only changed objects travel. It is
not in charge of where commits come from, nor of credentials.

Two locks lie beside the repository, so that it can be thrown away: `.lock` is held
while it changes, `.use` (shared) while somebody reads from it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.builders.git_process import GitFailed, run_git
from bot.builders.job import Stopped

# Commits that stay known by name, and so serve as the base of later fetches.
_KEPT_COMMITS = 16
# Above so many packs or loose objects, reading gets slow enough to tidy up.
_MANY_PACKS = 40
_MANY_LOOSE = 6000
_LOOK = 0.05  # seconds


class Mirror:
    """One repository's mirror; all methods but `lock` and `using` want the lock held."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def lock(self, cancelled: threading.Event) -> Iterator[int]:
        """Hold the mirror for changing it; answers the lock's file descriptor."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _locked(descriptor, fcntl.LOCK_EX):
                if cancelled.wait(_LOOK):
                    raise Stopped
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Hold the mirror if nobody does; answers whether that is so. Never waits."""
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _locked(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep everything that is in the mirror now until the block ends."""
        descriptor = os.open(f"{self.path}.use", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def prepare(self, sha: str) -> None:
        """Make the repository if need be, and remove what a killed process left in it."""
        if not (self.path / "HEAD").is_file():
            self.discard()
            object_format = "sha256" if len(sha) == 64 else "sha1"
            draft = self.path.with_name(f"{self.path.name}.new")
            shutil.rmtree(draft, ignore_errors=True)
            arguments = ("init", "--quiet", "--bare", "--template=")
            run_git(draft, (*arguments, f"--object-format={object_format}", str(draft)))
            draft.rename(self.path)
            return
        leftovers = [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]
        leftovers += (self.path / "objects" / "pack").glob("tmp_*")
        leftovers += self.path.glob("shallow_*")
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)

    def holds(self, sha: str) -> bool:
        """Whether the commit was fetched, whole. A name is only given once it was."""
        return self._name(sha).is_file()

    def name_commit(self, sha: str) -> None:
        """Remember a commit, and forget the names of all but the newest few."""
        if not self.holds(sha):
            run_git(self.path, ("update-ref", f"refs/commits/{sha}", sha))
        names = sorted(self._name(sha).parent.iterdir(), key=lambda name: name.stat().st_mtime_ns)
        for name in names[:-_KEPT_COMMITS]:
            name.unlink(missing_ok=True)

    def discard(self) -> None:
        """Throw the mirror away; whoever reads from it will fail, and fetch anew."""
        if self.path.exists():
            doomed = self.path.with_name(f"{self.path.name}.old")
            shutil.rmtree(doomed, ignore_errors=True)
            self.path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def tidy(self) -> bool:
        """Pack many small fetches into one, unless somebody reads; answers whether it did."""
        objects = self.path / "objects"
        packs = sum(1 for _ in (objects / "pack").glob("*.pack"))
        # As `git gc --auto` does it: one of the 256 folders stands for all.
        loose = sum(1 for _ in (objects / "17").glob("*")) * 256
        if packs <= _MANY_PACKS and loose <= _MANY_LOOSE:
            return False
        descriptor = os.open(f"{self.path}.use", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _locked(descriptor, fcntl.LOCK_EX):
                return False
            run_git(self.path, ("repack", "-a", "-d", "--quiet"), held=(descriptor,))
            run_git(self.path, ("prune", "--expire=now"), held=(descriptor,))
        except GitFailed:
            self.discard()
        finally:
            os.close(descriptor)
        return True

    def _name(self, sha: str) -> Path:
        return self.path / "refs" / "commits" / sha


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
