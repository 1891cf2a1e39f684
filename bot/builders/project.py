"""The folder of a source tree that is to be built, as detection looks at it."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from bot.builders.package_json import Package, read_package
from bot.builders.tree import Tree
from bot.builders.workspace import Workspace, enclosing


@dataclass(frozen=True)
class Project:
    """`root` is the folder within the tree; all paths here are relative to it."""

    tree: Tree
    root: str = "."

    @cached_property
    def package(self) -> Package | None:
        return read_package(self.tree, self.root)

    @cached_property
    def workspace(self) -> Workspace | None:
        """The workspace that the project is a member of, if it is one's."""
        return enclosing(self.tree, self.root)

    @cached_property
    def names(self) -> frozenset[str]:
        """The files directly in the root."""
        return frozenset(path for path in self._paths if "/" not in path)

    @cached_property
    def folders(self) -> frozenset[str]:
        """All folders, at whatever depth."""
        found = set()
        for folder_of_files in self._by_folder:
            folder = folder_of_files
            while folder and folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return frozenset(found)

    def has(self, path: str) -> bool:
        return self._path(path) in self.tree.files

    def matching(self, pattern: str) -> str:
        """The first file that a pattern names, or an empty text."""
        if not any(character in pattern for character in "*?["):
            return pattern if self.has(pattern) else ""
        folder, _, name = pattern.rpartition("/")
        if not folder:
            return min(fnmatch.filter(self.names, name), default="")
        within = (p for p in self._by_folder.get(folder, ()) if fnmatch.fnmatchcase(p, pattern))
        return min(within, default="")

    def first(self, *patterns: str) -> str:
        """The first file that any of the patterns names, in their order."""
        return next((found for p in patterns if (found := self.matching(p))), "")

    def text(self, path: str) -> str:
        """A file's text; empty where there is no such file."""
        if not path or not self.has(path):
            return ""
        return self.tree.read(self._path(path)).decode(errors="replace")

    def says(self, pattern: str, *files: str) -> bool:
        """Whether one of the files (patterns) holds a text."""
        found = (self.matching(file) for file in files)
        return any(re.search(pattern, self.text(path)) for path in found if path)

    def depends_on(self, *packages: str) -> bool:
        """Whether package.json names one of the packages."""
        return self.package is not None and any(p in self.package.dependencies for p in packages)

    @cached_property
    def python_requirements(self) -> str:
        """What the Python project says it needs, as one text in lower case."""
        names = ("requirements.txt", "pyproject.toml", "Pipfile", "setup.cfg", "setup.py")
        return "\n".join(self.text(name) for name in names).lower()

    @cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        """The files directly in each folder that has any; the root is the empty text."""
        found: dict[str, list[str]] = {}
        for path in self._paths:
            found.setdefault(path.rpartition("/")[0], []).append(path)
        return found

    @cached_property
    def _paths(self) -> Iterable[str]:
        if self.root == ".":
            return self.tree.files
        prefix = f"{self.root}/"
        return [path[len(prefix) :] for path in self.tree.files if path.startswith(prefix)]

    def _path(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.root, path))
