"""What the tests of builders share."""

from __future__ import annotations

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


@pytest.fixture
def log() -> ListLog:
    return ListLog()
