"""A source tree to look at: detection reads files, whether they lie in Git or in a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol


class Tree(Protocol):
    """Paths are relative, with forward slashes."""

    @property
    def files(self) -> Collection[str]:
        """Every regular file's path; testing `path in tree.files` is cheap."""

    def read(self, path: str) -> bytes:
        """A file's content; raises `FileNotFoundError`. Symbolic links are not followed."""


class FolderTree:
    """A `Tree` of a folder on disk, such as an unpacked upload; `names`: of these alone."""

    def __init__(self, root: Path, names: Iterable[str] | None = None) -> None:
        self._root = root
        candidates = root.rglob("*") if names is None else (root / name for name in names)
        self.files: frozenset[str] = frozenset(
            found.relative_to(root).as_posix()
            for found in candidates
            if found.is_file() and not found.is_symlink()
        )

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return (self._root / path).read_bytes()
