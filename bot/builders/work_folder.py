"""Folders that builds work in: one each, and gone afterwards whatever happens.

Removing thousands of files takes longer than publishing them, so it is done aside,
while the page is already live. A folder's lock tells whether its build still runs; a
folder that nobody holds is what a killed worker left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bot.errors import SystemFault

_GONE = ".gone"
_JUST_MADE = 60  # seconds within which a folder may not have its lock yet


class WorkFolders:
    """All of them, in one place (WORK_DIR). Several workers may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # One thread: disks are not faster at removing two trees at once.
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="remove work folders")

    @contextmanager
    def open(self, build_id: str) -> Iterator[Path]:
        """An empty folder for a build. Raises `SystemFault` where it cannot be made."""
        # One for each attempt: an earlier one may still be on its way out of its own.
        folder = self._root / f"{build_id}.{os.urandom(4).hex()}"
        try:
            folder.mkdir(parents=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise SystemFault(
                "work-folder", f"WORK_DIR cannot be used: {error.strerror}."
            ) from error
        try:
            yield folder
        finally:
            doomed = folder.with_name(f"{folder.name}{_GONE}")
            folder.rename(doomed)
            os.close(lock)
            self._remover.submit(remove_folder, doomed)

    def tidy(self) -> None:
        """Remove what killed workers left."""
        for folder in self._root.glob("*"):
            with contextlib.suppress(OSError):
                if folder.suffix == _GONE or _is_abandoned(folder):
                    remove_folder(folder)

    def settle(self) -> None:
        """Wait until all folders that are no longer needed are gone."""
        self._remover.submit(lambda: None).result()


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _JUST_MADE
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)


def remove_folder(folder: Path) -> None:
    """Remove a folder whose contents may resist: a build may have taken rights away."""

    def insist(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            if os.path.isdir(path) and not os.path.islink(path):
                os.chmod(path, 0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)

    if folder.is_dir():
        shutil.rmtree(folder, onerror=insist)
