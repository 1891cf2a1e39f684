"""Conditions, ranges and encodings, as tables."""

from __future__ import annotations

import pytest

from bot.serve.conditional import (
    Unsatisfiable,
    not_modified,
    parse_ranges,
    precondition_failed,
    range_applies,
)
from bot.serve.negotiation import qualities, weight

ETAG = '"abc"'
MODIFIED = 1_700_000_000
SAME = "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"


@pytest.mark.parametrize(
    ("if_none_match", "if_modified_since", "expected"),
    [
        (None, None, False),
        ('"abc"', None, True),
        ('W/"abc"', None, True),
        ('"x", "abc"', None, True),
        ("*", None, True),
        ('"x"', None, False),
        (None, SAME, True),
        (None, EARLIER, False),
        (None, "nonsense", False),
        ('"x"', SAME, False),  # the tag counts, the date doesn't
    ],
)
def test_when_a_copy_is_still_good(
    if_none_match: str | None, if_modified_since: str | None, expected: bool
) -> None:
    assert not_modified(if_none_match, if_modified_since, ETAG, MODIFIED) is expected


@pytest.mark.parametrize(
    ("if_match", "if_unmodified_since", "expected"),
    [
        ('"abc"', None, False),
        ("*", None, False),
        ('W/"abc"', None, True),  # strong comparison
        ('"x", "y"', None, True),
        (None, SAME, False),
        (None, EARLIER, True),
        (None, "nonsense", False),
    ],
)
def test_when_a_precondition_fails(
    if_match: str | None, if_unmodified_since: str | None, expected: bool
) -> None:
    assert precondition_failed(if_match, if_unmodified_since, ETAG, MODIFIED) is expected


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [
        (None, True),
        ('"abc"', True),
        ('W/"abc"', False),
        ('"x"', False),
        (SAME, True),
        (EARLIER, False),
        ("nonsense", False),
    ],
)
def test_when_a_range_is_of_the_same_version(if_range: str | None, expected: bool) -> None:
    assert range_applies(if_range, ETAG, MODIFIED) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [(0, 0)]),
        ("bytes=0-", [(0, 9)]),
        ("bytes=5-100", [(5, 9)]),
        ("bytes=-3", [(7, 9)]),
        ("bytes=-100", [(0, 9)]),
        ("BYTES=1-2", [(1, 2)]),
        ("bytes=0-1, 4-5", [(0, 1), (4, 5)]),
        ("bytes=0-1,20-30", [(0, 1)]),
        ("bytes=0-9,0-9", None),  # more than all of it
        ("bytes=2-1", None),
        ("bytes=a-b", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=٣-٤", None),
        ("lines=0-1", None),
        ("bytes=" + ",".join(["0-0"] * 17), None),
        ("bytes=0-" + "9" * 5000, None),
    ],
)
def test_which_bytes_a_range_means(header: str, expected: list[tuple[int, int]] | None) -> None:
    assert parse_ranges(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=11-12,99-"])
def test_a_range_beyond_the_file_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges(header, 10)


def test_no_range_of_an_empty_file_can_be_satisfied() -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges("bytes=0-", 0)


@pytest.mark.parametrize(
    ("header", "encoding", "expected"),
    [
        ("gzip, br", "br", 1.0),
        ("gzip;q=0.5, br;q=0.2", "br", 0.2),
        ("gzip; Q=0.5", "gzip", 0.5),
        ("gzip;q=0", "gzip", 0.0),
        ("*", "zstd", 1.0),
        ("*;q=0.1, br;q=0", "br", 0.0),
        ("x-gzip", "gzip", 1.0),
        ("", "gzip", 0.0),
        ("gzip;q=many", "gzip", 0.0),
        ("gzip;q=nan", "gzip", 0.0),
        ("gzip;q=7", "gzip", 0.0),
        (",,;q=1, br", "br", 1.0),
    ],
)
def test_how_much_a_client_wants_an_encoding(header: str, encoding: str, expected: float) -> None:
    assert weight(qualities(header), encoding) == expected
