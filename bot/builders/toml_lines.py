"""On which line each key of a TOML file stands, which `tomllib` does not tell.

It is no second parser: it cuts a file that `tomllib` has read into its statements, and
has `tomllib` read each of them alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

# A key's way from the top; numbers are places in a list, counted from 0.
KeyPath = tuple[str | int, ...]

# https://toml.io/en/v1.0.0#string , https://toml.io/en/v1.0.0#comment
_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\[\]{}\n\"'\#]+",
    re.DOTALL,
)
# No key that means anything lies deeper; whoever writes such a file gets no lines for it.
_DEEPEST = 8
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}


def lines_of(text: str) -> Mapping[KeyPath, int]:
    """The line, counted from 1, on which each key of valid TOML is first set."""
    found: dict[KeyPath, int] = {}
    lists: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement in _statements(text):
        content = tomllib.loads(statement)
        if not statement.startswith("["):
            for path in _paths(content):
                found.setdefault((*table, *path), line)
            continue
        header = tuple(part for part in max(_paths(content), key=len) if isinstance(part, str))
        if statement.startswith("[["):
            name = (*_within(header[:-1], lists), header[-1])
            lists[name] = lists.get(name, -1) + 1
        table = _within(header, lists)
        for length in range(1, len(table) + 1):
            found.setdefault(table[:length], line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    line, started, depth = 1, 1, 0
    parts: list[str] = []
    for piece in _PIECE.findall(text.replace("\r\n", "\n") + "\n"):
        depth += _DEPTH.get(piece, 0)
        if piece == "\n" and depth == 0:
            statement = "".join(parts).strip()
            if statement and not statement.startswith("#"):
                yield started, statement
            parts, started = [], line + 1
        else:
            parts.append(piece)
        line += piece.count("\n")


def _paths(value: Any, levels: int = _DEEPEST) -> Iterator[KeyPath]:
    """Every key path within a value, each table before what it holds."""
    if isinstance(value, Mapping):
        inner: Any = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        return
    for key, held in inner:
        yield (key,)
        if levels > 1:
            for path in _paths(held, levels - 1):
                yield (key, *path)


def _within(header: KeyPath, lists: Mapping[KeyPath, int]) -> KeyPath:
    """A header's path: a list of tables on its way stands for its last table so far."""
    path: KeyPath = ()
    for part in header:
        path = (*path, part)
        if path in lists:
            path = (*path, lists[path])
    return path
