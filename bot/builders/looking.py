"""Reading the files of an output, once each, for all who want to look at them.

A file is read whole, unless it is too large to be held in memory: those are the few, and
whoever looks into them as well reads them for himself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

# Bytes of one file that are held in memory.
LARGEST = 16 << 20


class Looker(Protocol):
    """Who looks at every file before it is stored; may raise `UserError`."""

    def look_at(self, path: str, content: bytes) -> None:
        """A file's content; `path` is its path in the site."""

    def look_into(self, path: str, file: Path) -> None:
        """A file that is too large to be held in memory."""


Known = tuple[str, int]


def looked_at(
    files: Iterable[tuple[str, Path]], lookers: Sequence[Looker]
) -> Iterator[tuple[str, Path, Known | None]]:
    """The same files, when all have looked; with SHA-256 (hex) and size in bytes if it was read."""
    for path, file in files:
        content = _content_of(file)
        if content is None:
            for looker in lookers:
                looker.look_into(path, file)
            yield path, file, None
            continue
        for looker in lookers:
            looker.look_at(path, content)
        yield path, file, (hashlib.sha256(content).hexdigest(), len(content))


def _content_of(file: Path) -> bytes | None:
    """A regular file's bytes, never those of what a link leads to; `None`: too many."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        if size > LARGEST:
            return None
        # One read of just its size is all that most take.
        content = os.read(descriptor, size + 1)
        while len(content) < size and (more := os.read(descriptor, size + 1 - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)
