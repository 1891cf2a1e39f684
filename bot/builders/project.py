"""The folder of a source tree that is to be built, as detection looks at it."""

from __future__ import annotations

import fnmatch
import posixpath
from dataclasses import dataclass
from functools import cached_property

from bot.builders.package_json import Package, read_package
from bot.builders.tree import Tree


@dataclass(frozen=True)
class Project:
    """`root` is the folder within the tree; all paths here are relative to it."""

    tree: Tree
    root: str = "."

    @cached_property
    def package(self) -> Package | None:
        return read_package(self.tree, self.root)

    @cached_property
    def names(self) -> frozenset[str]:
        """The files directly in the root."""
        prefix = "" if self.root == "." else f"{self.root}/"
        return frozenset(
            path[len(prefix) :]
            for path in self.tree.files
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        )

    def has(self, path: str) -> bool:
        return self._path(path) in self.tree.files

    def matching(self, pattern: str) -> str:
        """The first file that a pattern names, or an empty text."""
        if not any(character in pattern for character in "*?["):
            return pattern if self.has(pattern) else ""
        return min(fnmatch.filter(self.names, pattern), default="")

    def text(self, path: str) -> str:
        """A file's text; empty where there is no such file."""
        if not self.has(path):
            return ""
        return self.tree.read(self._path(path)).decode(errors="replace")

    def _path(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.root, path))
