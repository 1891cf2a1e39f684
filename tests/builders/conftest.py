"""What the tests of builders share."""

from __future__ import annotations

from collections.abc import Mapping

import pytest


class ListLog:
    """A `BuildLog` that keeps everything."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.output = b""

    def say(self, line: str) -> None:
        self.lines.append(line)

    def write(self, output: bytes) -> None:
        self.output += output

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + self.output.decode(errors="replace")


class MemoryTree:
    """A `Tree` of texts."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path].encode(errors="surrogateescape")


@pytest.fixture
def log() -> ListLog:
    return ListLog()
