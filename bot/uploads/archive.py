"""From an archive on disk to a folder: everything in it, or nothing and a reason.

    unpack → which kind → read its entries → write each, within limits → links last

It trusts neither the name nor any size that the archive states. Archives within
the archive stay as they are. It is not in charge of what of the folder is published.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.errors import SystemFault, UserError
from bot.uploads import tar_archive, zip_archive
from bot.uploads.entries import ArchiveLimits, Budget, Entry, Kind
from bot.uploads.names import Register, is_rubbish, safe_path, shown

# First bytes → kind. https://en.wikipedia.org/wiki/List_of_file_signatures
_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (257, b"ustar", "plain"),
)
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\xfd7zXZ\x00", "compressed by xz"),
    (b"BZh", "compressed by bzip2"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"<", "a page or an XML file"),
)
_COPIED = 1 << 18


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came of an archive: the paths of all files, relative to the folder."""

    files: tuple[str, ...]
    size: int


def unpack(archive: Path, target: Path, limits: ArchiveLimits) -> Unpacked:
    """Unpack zip, tar, tar.gz or tar.zst into `target`, which must not exist yet.

    A single top folder is stripped. Raises `UserError`, with nothing left behind.
    """
    kind = kind_of(archive)
    budget = Budget(limits, archive.stat().st_size)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
    try:
        tree = _Tree(staging / "tree", budget)
        for entry in _entries(archive, kind, budget):
            tree.add(entry)
        root = tree.finish()
        files = tuple(tree.files_beneath(root))
        root.chmod(0o755)
        root.rename(target)
    except OSError as error:
        raise SystemFault("upload-folder", f"The upload cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Unpacked(files, tree.size)


def kind_of(archive: Path) -> str:
    """`zip`, `gzip`, `zstd` or `plain` (tar), by content alone; raises `UserError`."""
    with archive.open("rb") as file:
        head = file.read(512)
    for offset, signature, kind in _KINDS:
        if head[offset:].startswith(signature):
            return kind
    known = next((what for start, what in _OTHERS if head.lstrip().startswith(start)), "")
    raise UserError(
        "archive-type-unknown",
        f"The upload is {known or ('no archive that is known' if head else 'empty')}.",
        "Send a zip, tar.gz or tar.zst file.",
    )


def _entries(archive: Path, kind: str, budget: Budget) -> Iterator[Entry]:
    if kind == "zip":
        return zip_archive.read(archive, budget)
    return tar_archive.read(archive, kind, budget)


class _Tree:
    """The folder that grows. Links are made last: nothing is ever written through one."""

    def __init__(self, root: Path, budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._register = Register()
        self._folders = {""}
        self._files: list[str] = []
        self._links: dict[str, str] = {}
        self.size = 0
        root.mkdir()

    def add(self, entry: Entry) -> None:
        self._budget.entry()
        path = safe_path(entry.name)
        if not path or is_rubbish(path):
            return
        match entry.kind:
            case Kind.FOLDER:
                self._register.add_folder(path)
                self._make_folder(path)
            case Kind.FILE:
                self._take(path)
                self._write(path, entry.content(), executable=entry.executable)
            case Kind.HARD_LINK:
                self._take(path)
                self._copy(path, safe_path(entry.link))
            case Kind.SYMBOLIC_LINK:
                self._register.add_file(path)
                self._links[path] = entry.link
            case Kind.SPECIAL:
                raise UserError(
                    "archive-special-file",
                    f"{shown(path)} is a device, a pipe or a sparse file.",
                    "A site has files, folders and links alone.",
                )

    def finish(self) -> Path:
        """Make the links; answers the folder that is the site's root."""
        if not self._files:
            raise UserError("archive-empty", "There is no file in the archive.")
        for path, link in self._links.items():
            self._make_folder(path.rpartition("/")[0])
            os.symlink(link, self._root / path)
        root = self._root
        found = os.listdir(root)
        if len(found) == 1 and (root / found[0]).is_dir() and not (root / found[0]).is_symlink():
            root = root / found[0]
        real = os.path.realpath(root)
        for path, link in self._links.items():
            leads = os.path.realpath(self._root / path)
            if os.path.isabs(link) or os.path.commonpath([real, leads]) != real:
                raise UserError(
                    "archive-unsafe-link",
                    f"The link {shown(path)} leads out of the archive.",
                    "Put the file itself where the link is.",
                )
        return root

    def files_beneath(self, root: Path) -> Iterator[str]:
        prefix = root.relative_to(self._root).as_posix() + "/"
        start = 0 if prefix == "./" else len(prefix)
        return (path[start:] for path in self._files)

    def _take(self, path: str) -> None:
        self._register.add_file(path)
        self._make_folder(path.rpartition("/")[0])
        self._files.append(path)
        if len(self._files) > self._budget.most_entries // 2:
            raise self._budget.too_many()

    def _make_folder(self, path: str) -> None:
        if path not in self._folders:
            self._make_folder(path.rpartition("/")[0])
            (self._root / path).mkdir()
            self._folders.add(path)

    def _write(self, path: str, content: Iterator[bytes], *, executable: bool) -> None:
        mode = 0o755 if executable else 0o644
        descriptor = os.open(
            self._root / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode
        )
        written = 0
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for chunk in content:
                written += len(chunk)
                self._budget.size(path, written, len(chunk))
                file.write(chunk)
        self.size += written

    def _copy(self, path: str, source: str) -> None:
        """A hard link is a second copy here: a build that writes to one leaves the other alone."""
        origin = self._root / source
        if source == path or not origin.is_file():
            raise UserError(
                "archive-unsafe-link",
                f"The link {shown(path)} leads to no earlier file of the archive.",
            )
        with origin.open("rb") as file:
            executable = bool(os.fstat(file.fileno()).st_mode & 0o100)
            self._write(path, iter(lambda: file.read(_COPIED), b""), executable=executable)
