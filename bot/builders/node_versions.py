"""Which Node a project asks for, and which of those there are it gets.

https://docs.npmjs.com/cli/configuring-npm/package-json#engines ,
https://github.com/nvm-sh/nvm#nvmrc
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import nodesemver

# https://github.com/nodejs/Release
_CODENAMES = {
    "argon": 4,
    "boron": 6,
    "carbon": 8,
    "dubnium": 10,
    "erbium": 12,
    "fermium": 14,
    "gallium": 16,
    "hydrogen": 18,
    "iron": 20,
    "jod": 22,
    "krypton": 24,
}
_NEWEST = frozenset({"", "*", "current", "default", "latest", "node", "stable", "system"})


def as_range(asked: str) -> str | None:
    """What a project wrote, as a range of versions; None where nobody could know."""
    text = asked.strip().lower()
    if text in _NEWEST:
        return "*"
    name = text.removeprefix("lts/").removeprefix("lts-").removeprefix("lts")
    if name in {"", "*", "-1"}:
        return " || ".join(str(major) for major in sorted(_CODENAMES.values(), reverse=True))
    if name in _CODENAMES:
        return str(_CODENAMES[name])
    cleaned = re.sub(r"^(?:node-)?v(?=\d)", "", text)
    try:
        return cleaned if nodesemver.valid_range(cleaned, True) is not None else None
    except ValueError:
        return None


def satisfies(version: str, wanted: str) -> bool:
    return bool(nodesemver.satisfies(version, wanted, True))


def newest(versions: Iterable[str], wanted: str) -> str | None:
    """The highest version in the range, if there is one."""
    found: str | None = nodesemver.max_satisfying(list(versions), wanted, True)
    return found


def same_major(wanted: str) -> str | None:
    """For one exact version (`20.11.1`) its major (`20`): what is nearest to it."""
    exact = re.fullmatch(r"=?v?(\d+)\.\d+(?:\.\d+)?", wanted)
    return exact[1] if exact else None


def majors(versions: Iterable[str]) -> str:
    """`20, 22, 24`, for people."""
    found = sorted({int(version.partition(".")[0]) for version in versions})
    return ", ".join(str(major) for major in found)
