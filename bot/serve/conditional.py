"""Conditional and range requests, as pure functions.

https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests and #name-range-requests
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

# More ranges than this in one request are asked for by attackers alone.
_MOST_RANGES = 16
# No file has a size of more digits; Python refuses to read numbers of thousands.
_RANGE = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class Unsatisfiable(Exception):
    """No range of the request lies within the file: 416."""


def matches(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names `etag`, by weak comparison."""
    if header == etag or header.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == etag for part in header.split(","))


def precondition_failed(
    if_match: str | None, if_unmodified_since: str | None, etag: str, modified: int
) -> bool:
    """Whether 412 is the answer: the client wants another version or none. Strong comparison."""
    if if_match is not None:
        named = [part.strip() for part in if_match.split(",")]
        return "*" not in named and etag not in named
    since = _date(if_unmodified_since)
    return since is not None and modified > since


def not_modified(
    if_none_match: str | None, if_modified_since: str | None, etag: str, modified: int
) -> bool:
    """Whether 304 is the answer; `modified` is in seconds since 1970.

    If-Modified-Since counts only where there is no If-None-Match.
    """
    if if_none_match is not None:
        return matches(if_none_match, etag)
    since = _date(if_modified_since)
    return since is not None and modified <= since


def range_applies(if_range: str | None, etag: str, modified: int) -> bool:
    """Whether a Range header counts: the client's copy must be of this very version."""
    if if_range is None:
        return True
    if if_range.startswith(('"', "W/")):
        return if_range == etag  # strong comparison: a weak tag never matches
    return _date(if_range) == modified


def parse_ranges(header: str, size: int) -> list[tuple[int, int]] | None:
    """The (first, last) byte positions asked for; `None`: the header is to be ignored.

    Raises `Unsatisfiable` where it is well-formed but nothing of it exists.
    """
    unit, _, specification = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    parts = specification.split(",")
    if len(parts) > _MOST_RANGES:
        return None
    ranges = []
    for part in parts:
        match = _RANGE.fullmatch(part.strip())
        if match is None or match.group() == "-":
            return None
        first, last = match.groups()
        if first and last and int(first) > int(last):
            return None
        start, end = _within(first, last, size)
        if start <= end:
            ranges.append((start, end))
    if not ranges:
        raise Unsatisfiable
    # Asking for more than all of it (overlapping ranges) gets all of it, once.
    if len(ranges) > 1 and sum(end - start + 1 for start, end in ranges) > size:
        return None
    return ranges


def _within(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(size - int(last), 0), size - 1 if int(last) else -1
    return int(first), min(int(last), size - 1) if last else size - 1


def _date(header: str | None) -> int | None:
    if header is None:
        return None
    try:
        return int(parsedate_to_datetime(header).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
