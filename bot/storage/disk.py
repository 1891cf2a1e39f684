"""The store on a local disk.

objects/ab/cdef…      contents by SHA-256, read-only
manifests/<id>.json   one for each deployment: what makes it visible
sites/<id>/…          the same files as a tree of hard links
incoming/             drafts, on the same file system, so that renames are atomic
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from bot.storage.manifest import Manifest, decode, encode
from bot.storage.store import NotPublished, StoreFault


class DiskStore:
    """A `Store` in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        try:
            for name in ("objects", "manifests", "sites", "incoming"):
                (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(256):
                (root / "objects" / f"{number:02x}").mkdir(exist_ok=True)
        except OSError as error:
            raise StoreFault(f"The artifact folder cannot be used: {error}") from error

    def path(self, digest: str) -> Path:
        """Where the content with this digest lies, if it is there."""
        return self._root / "objects" / digest[:2] / digest[2:]

    def put_file(self, path: Path) -> tuple[str, int]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        target = self.path(digest)
        if not target.exists():
            self._link_or_copy(path, target)
        return digest, size

    def put_bytes(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        hasher = hashlib.sha256()
        size = 0
        descriptor, draft = tempfile.mkstemp(dir=self._incoming)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    hasher.update(chunk)
                    size += file.write(chunk)
                os.fchmod(file.fileno(), 0o444)
            digest = hasher.hexdigest()
            os.replace(draft, self.path(digest))
        except BaseException:
            os.unlink(draft)
            raise
        return digest, size

    def open(self, digest: str) -> BinaryIO:
        return self.path(digest).open("rb")

    def publish(self, manifest: Manifest) -> None:
        descriptor, draft = tempfile.mkstemp(dir=self._incoming)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(manifest))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._manifest_path(manifest.deployment))

    def manifest(self, deployment_id: str) -> Manifest:
        try:
            return decode(self._manifest_path(deployment_id).read_bytes())
        except FileNotFoundError:
            raise NotPublished(deployment_id) from None

    def lay_out(self, manifest: Manifest) -> None:
        draft = Path(tempfile.mkdtemp(dir=self._incoming))
        draft.chmod(0o755)
        made = {""}
        for path, entry in manifest.files.items():
            folder = path.rpartition("/")[0]
            if folder not in made:
                (draft / folder).mkdir(parents=True, exist_ok=True)
                made.add(folder)
            os.link(self.path(entry.digest), draft / path)
        site = self._root / "sites" / manifest.deployment
        if site.exists():
            shutil.rmtree(draft)
        else:
            draft.rename(site)

    def delete(self, deployment_id: str) -> None:
        self._manifest_path(deployment_id).unlink(missing_ok=True)
        site = self._root / "sites" / deployment_id
        if site.exists():
            doomed = Path(tempfile.mkdtemp(dir=self._incoming))
            site.rename(doomed / "site")
            shutil.rmtree(doomed)

    def _manifest_path(self, deployment_id: str) -> Path:
        return self._root / "manifests" / f"{deployment_id}.json"

    def _link_or_copy(self, source: Path, target: Path) -> None:
        """Bring a file in under its digest, whole or not at all."""
        draft = self._incoming / f"{target.name}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            os.link(source, draft)
        except OSError:  # another file system, or one that has no hard links
            shutil.copyfile(source, draft)
        try:
            os.chmod(draft, 0o444)
            os.replace(draft, target)
        finally:
            # Renaming a link onto another link of the same file is a no-op that
            # leaves both names (POSIX rename), so the draft may still be there.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
