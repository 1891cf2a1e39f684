"""Builds' logs, wherever they were written: what pages and the API read them by.

A worker writes a log into its own `DATA_DIR`. Where web processes have that folder too they
read the file. Where they may be on other machines (BUILD_LOGS), the worker puts what is new
into the database twice a second, and there it is read from.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from bot.errors import SystemFault
from bot.models import log_parts
from bot.models.database import Database
from bot.models.tables import Build
from bot.settings import Settings

logger = logging.getLogger(__name__)

_PORTION = 256 << 10  # bytes


class Logs:
    """All builds' logs, for reading."""

    def __init__(self, settings: Settings) -> None:
        self._data_dir = settings.DATA_DIR
        self.shared = settings.shares_logs

    def size(self, build: Build) -> int:
        """In bytes; 0 where there is no log (yet)."""
        if self.shared and (found := log_parts.size(build.id)):
            return found
        path = self._path(build)
        return path.stat().st_size if path is not None else 0

    def read(self, build: Build, start: int = 0) -> bytes:
        """What the log holds from byte `start` on."""
        start = max(start, 0)
        if self.shared and log_parts.size(build.id):
            return log_parts.read(build.id, start)
        path = self._path(build)
        if path is None:
            return b""
        with path.open("rb") as file:
            file.seek(min(start, path.stat().st_size))
            return file.read()

    def file(self, build: Build) -> Path | None:
        """The log as a file of this machine, where that is what is to be read."""
        return None if self.shared and log_parts.size(build.id) else self._path(build)

    def _path(self, build: Build) -> Path | None:
        path = self._data_dir / build.logs if build.logs else None
        return path if path is not None and path.is_file() else None


class Shipment:
    """One attempt's log on its way into the database. Safe to use from several threads.

    That the database cannot be written to fails no build: what could not be put there is
    put there next time.
    """

    def __init__(self, database: Database, build: Build, path: Path) -> None:
        self._database = database
        self._build_id = build.id
        self._holder = build.worker
        self._path = path
        self._lock = threading.Lock()
        self._shipped = self._restore()

    def _restore(self) -> int:
        """Have the file begin with what an earlier attempt wrote, on whichever machine."""
        known = log_parts.read(self._build_id)
        own = self._path.read_bytes() if self._path.is_file() else b""
        if not own.startswith(known):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(known)
        return len(known)

    def ship(self) -> None:
        """Put what the file has gained into the database."""
        with self._lock:
            try:
                self._ship()
            except SystemFault as fault:
                logger.warning("build %s: its log is not shared yet: %s", self._build_id, fault)

    def _ship(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._shipped)
            while portion := file.read(_PORTION):
                with self._database.write(durable=False):
                    held = log_parts.add(self._build_id, self._holder, self._shipped, portion)
                if not held:
                    return
                self._shipped += len(portion)

    def end(self) -> None:
        """Nothing more is written into the file."""
        self.ship()
        try:
            with self._database.write(durable=False):
                log_parts.seal(self._build_id, self._holder)
        except SystemFault as fault:
            logger.warning("build %s: its log stays in portions: %s", self._build_id, fault)
