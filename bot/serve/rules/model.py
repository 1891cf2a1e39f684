"""Compiled rules: what serving asks, and nothing of how they were written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Headers = list[tuple[str, str]]


class HeaderRules:
    """Headers by pattern of path; all that match count."""

    def apply(self, path: str, headers: Sequence[tuple[str, str]]) -> Headers:
        """`headers` with what the rules for `path` add, replace or take away."""
        del path
        return list(headers)


@dataclass(frozen=True)
class Rules:
    """All that a project says. `None` in the switches: neither yes nor no, our own way.

    `sources` are the files that rules were read from, which are never served.
    """

    headers: HeaderRules = field(default_factory=HeaderRules)
    clean_urls: bool | None = None
    trailing_slash: bool | None = None
    listing: bool = False
    spa: bool = False
    sources: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


NO_RULES = Rules()
