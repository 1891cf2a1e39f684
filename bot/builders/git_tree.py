"""A commit's tree, read from Git's own storage: no checkout needed.

https://git-scm.com/docs/git-ls-tree#_output_format
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from bot.builders.git_process import ObjectReader, run_git

_LINK = b"120000"
_SUBMODULE = b"160000"


@dataclass(frozen=True, slots=True)
class Blob:
    """A regular file as Git keeps it. `size` is in bytes."""

    object_id: str
    size: int


@dataclass
class GitTree:
    """A `Tree` of one commit. Names that are not UTF-8 hold surrogates, as in `os.fsdecode`.

    `links` maps symbolic links to the blobs that hold their targets; `submodules`
    maps folders to the commits of other repositories that belong there.
    """

    files: dict[str, Blob]
    reader: ObjectReader
    links: dict[str, Blob] = field(default_factory=dict)
    submodules: dict[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.reader.read(self.files[path].object_id)

    def target(self, link: str) -> str:
        """Where a symbolic link says that it leads."""
        return os.fsdecode(self.reader.read(self.links[link].object_id))


def read_tree(repository: Path, sha: str, reader: ObjectReader) -> GitTree:
    """List a commit's files, all at once."""
    listing = run_git(repository, ("ls-tree", "-r", "-l", "-z", "--full-tree", sha))
    tree = GitTree({}, reader)
    for line in listing.split(b"\0"):
        about, _, name = line.partition(b"\t")
        if not name:
            continue
        mode, _, object_id, size = about.split()
        path = os.fsdecode(name)
        if mode == _SUBMODULE:
            tree.submodules[path] = object_id.decode()
        else:
            blob = Blob(object_id.decode(), int(size))
            (tree.links if mode == _LINK else tree.files)[path] = blob
    return tree
