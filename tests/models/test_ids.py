"""Ids: 26 digits of Crockford's alphabet, sorted by age, never the same twice."""

from __future__ import annotations

import re

import pytest

from bot.models import ids


def test_an_id_is_a_ulid_that_fits_a_host_name() -> None:
    assert re.fullmatch(r"dpl-[0-9a-hjkmnp-tv-z]{26}", ids.new_id("dpl"))


def test_no_two_are_alike() -> None:
    assert len({ids.new_id("x") for _ in range(10_000)}) == 10_000


def test_the_first_ten_digits_are_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # The example of https://github.com/ulid/spec: 01ARZ3NDEK is 1469922850259 ms.
    monkeypatch.setattr("time.time_ns", lambda: 1_469_922_850_259_000_000)
    assert ids.new_id("x").startswith("x-01arz3ndek")
