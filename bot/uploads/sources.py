"""What uploads are made of, kept for as long as they may have to be built (again).

DATA_DIR/uploads/<deployment id>/source.json, and `archive` beside it. Where machines share
a bucket instead of a disk, what is to be built lies there too, as if it were a deployment
that nothing leads to: whichever worker builds it finds it, and its archive is not swept. It
is durable before the build is queued; it is not in charge of what the source turns into.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bot.builders.job import BuildLog
from bot.errors import SystemFault, UserError
from bot.models import uploads
from bot.models.ids import now
from bot.settings import Settings
from bot.storage import checksums
from bot.storage.disk import flush_path
from bot.storage.manifest import Entry, Manifest
from bot.storage.store import NotPublished, Store
from bot.uploads.archive import unpack
from bot.uploads.clone import clone
from bot.uploads.entries import limits_of
from bot.uploads.remote import parse_remote

_CHUNK = 1 << 20
_LEFT = 86_400  # seconds after which a draft is nobody's any more


class ArchiveSource(msgspec.Struct, frozen=True, tag="archive"):
    """An archive, which was found to be in order when it came."""


class RemoteSource(msgspec.Struct, frozen=True, tag="remote"):
    """A repository by address; `ref` is a branch, a tag or a SHA."""

    url: str
    ref: str


class FilesSource(msgspec.Struct, frozen=True, tag="files"):
    """Files that lie in the store: path → SHA-256."""

    files: dict[str, str]


Source = ArchiveSource | RemoteSource | FilesSource
_decoder: msgspec.json.Decoder[Source] = msgspec.json.Decoder(Source)


class Sources:
    """All of them. Safe for many threads and processes at once."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._shares = settings.STORAGE_URL.startswith("s3:")
        self.root = settings.DATA_DIR / "uploads"

    def keep_archive(
        self, deployment_id: str, archive: Path, tree: Path, *, promised: bool
    ) -> None:
        """Take over an archive and what it was unpacked to; both must lie in `root`.

        `promised`: its build is only queued when the uploader is answered, so that it
        must outlive a power cut.
        """
        with self._kept(deployment_id) as folder:
            os.replace(archive, folder / "archive")
            os.replace(tree, folder / "tree")
            if promised:
                flush_path(folder / "archive")
            if promised:
                self._share(deployment_id, ArchiveSource(), folder / "archive")
            self._write(folder, ArchiveSource(), promised=promised)

    def keep(
        self, deployment_id: str, source: RemoteSource | FilesSource, *, promised: bool = True
    ) -> None:
        with self._kept(deployment_id) as folder:
            if promised:
                self._share(deployment_id, source)
            self._write(folder, source, promised=promised)

    def read(self, deployment_id: str) -> Source:
        """Raises `UserError` where the source is gone."""
        try:
            return _decoder.decode((self.root / deployment_id / "source.json").read_bytes())
        except FileNotFoundError:
            shared = self._shared(deployment_id)
        if shared is None:
            raise UserError(
                "source-gone", "What was uploaded is no longer kept.", "Upload it again."
            )
        return _decoder.decode(shared.configuration["source.json"])

    def digest(self, deployment_id: str, source: Source) -> str:
        """SHA-256, in hex, of an archive, or of the list of files; empty: of neither."""
        if isinstance(source, FilesSource):
            return checksums.digest(checksums.checksums(source.files))
        try:
            with (self.root / deployment_id / "archive").open("rb") as archive:
                return hashlib.file_digest(archive, "sha256").hexdigest()
        except FileNotFoundError:
            shared = self._shared(deployment_id)
        entry = shared.files.get("archive") if shared is not None else None
        return entry.digest if entry is not None else ""

    def lay_out(
        self, deployment_id: str, target: Path, log: BuildLog, cancelled: threading.Event
    ) -> str:
        """Write the source's tree into `target`, which must not exist yet.

        Answers the commit of what was fetched by its address; empty: it was not. Raises
        `UserError`, `SystemFault` or `Stopped`.
        """
        match self.read(deployment_id):
            case ArchiveSource():
                with contextlib.suppress(FileNotFoundError):
                    # The first to build it takes the tree; whoever comes later unpacks.
                    (self.root / deployment_id / "tree").rename(target)
                    return ""
                with self._archive(deployment_id) as archive:
                    unpacked = unpack(archive, target, limits_of(self._settings))
                log.say(f"Unpacked {len(unpacked.files)} files, {unpacked.size / 1e6:.1f} MB")
            case RemoteSource(url, ref):
                remote = parse_remote(url, ref, self._settings.ALLOWED_GIT_HOSTS)
                seconds, largest = self._settings.BUILD_TIMEOUT, self._settings.BUILD_DISK
                return clone(remote, target, log, cancelled, seconds, largest)
            case FilesSource(files):
                self._copy_files(files, target)
                log.say(f"Took {len(files)} files from the store")
        return ""

    def forget(self, deployment_id: str) -> None:
        """Remove what is kept of an upload, if anything."""
        shutil.rmtree(self.root / deployment_id, ignore_errors=True)
        if self._shares:
            self._store.delete(_shared_id(deployment_id))

    def tidy(self) -> None:
        """Remove what killed processes left, and the sources of what was deleted."""
        before = time.time() - _LEFT
        for folder in self.root.glob("*") if self.root.is_dir() else ():
            with contextlib.suppress(OSError):
                old = folder.stat().st_mtime < before
                if old and (folder.name.startswith(".") or not uploads.is_known(folder.name)):
                    shutil.rmtree(folder)

    def _share(self, deployment_id: str, source: Source, archive: Path | None = None) -> None:
        """Let whichever machine builds it have it."""
        if not self._shares:
            return
        files = {}
        if archive is not None:
            digest, size = self._store.put_file(archive)
            files["archive"] = Entry(digest, size, "application/octet-stream")
        written = msgspec.json.encode(source).decode()
        self._store.publish(
            Manifest(
                deployment=_shared_id(deployment_id),
                files=files,
                configuration={"source.json": written},
                created_at=now(),
            )
        )

    def _shared(self, deployment_id: str) -> Manifest | None:
        if not self._shares:
            return None
        try:
            return self._store.manifest(_shared_id(deployment_id))
        except NotPublished:
            return None

    @contextlib.contextmanager
    def _archive(self, deployment_id: str) -> Iterator[Path]:
        """An archive on this machine. Raises `FileNotFoundError` where there is none at all."""
        own = self.root / deployment_id / "archive"
        shared = None if own.is_file() else self._shared(deployment_id)
        if shared is None:
            yield own
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=self.root) as folder:
            fetched = Path(folder, "archive")
            digest = shared.files["archive"].digest
            with self._store.open(digest) as content, fetched.open("xb") as copy:
                shutil.copyfileobj(content, copy, _CHUNK)
            yield fetched

    def _copy_files(self, files: Mapping[str, str], target: Path) -> None:
        target.mkdir(parents=True)
        for path, digest in files.items():
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            # Copies: a build may write to its files, and the store's are for ever.
            with self._store.open(digest) as content, file.open("xb") as copy:
                shutil.copyfileobj(content, copy, _CHUNK)

    @contextlib.contextmanager
    def _kept(self, deployment_id: str) -> Iterator[Path]:
        """A new folder, which is gone again if anything fails. Raises `SystemFault`."""
        folder = self.root / deployment_id
        try:
            folder.mkdir(parents=True)
            yield folder
        except SystemFault:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise SystemFault("upload-folder", f"The upload cannot be kept: {error}") from error

    def _write(self, folder: Path, source: Source, *, promised: bool) -> None:
        draft = folder / "source.draft"
        draft.write_bytes(msgspec.json.encode(source))
        if promised:
            flush_path(draft)
        os.replace(draft, folder / "source.json")
        if promised:
            flush_path(folder)
            flush_path(self.root)


def _shared_id(deployment_id: str) -> str:
    """No deployment's own id: nothing is ever served by it."""
    return f"{deployment_id}.source"
