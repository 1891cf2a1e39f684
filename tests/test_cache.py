"""The cache: what it keeps, for how long, and that its absence fails nobody."""

from __future__ import annotations

import time

import pytest

from bot.cache import LARGEST, Cache, MemoryCache, RedisCache, open_cache
from tests.servers import Redis


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> Cache:
    """Every implementation of the contract."""
    if request.param == "memory":
        return MemoryCache()
    return RedisCache(request.getfixturevalue("redis_url"))


def until_gone(cache: Cache, key: str) -> float:
    """Seconds until a value is dropped by itself."""
    began = time.monotonic()
    while cache.get(key) != [None]:
        assert time.monotonic() < began + 10
        time.sleep(0.005)
    return time.monotonic() - began


def test_what_is_put_there_is_found_by_its_key(cache: Cache) -> None:
    cache.put("a", b"1", 60)
    cache.put("b", b"", 60)
    assert cache.get("a", "missing", "b") == [b"1", None, b""]
    cache.put("a", b"2", 60)
    assert cache.get("a") == [b"2"]


def test_who_has_read_never_overwrites_who_has_written(cache: Cache) -> None:
    cache.put("a", b"new", 60)
    cache.add("a", b"read a moment ago", 60)
    assert cache.get("a") == [b"new"]
    cache.forget("a")
    cache.add("a", b"read again", 60)
    assert cache.get("a") == [b"read again"]


def test_what_is_forgotten_is_gone_and_may_be_forgotten_again(cache: Cache) -> None:
    cache.put("a", b"1", 60)
    cache.forget("a")
    cache.forget("a")
    assert cache.get("a") == [None]


def test_values_go_when_their_time_is_over(cache: Cache) -> None:
    cache.put("a", b"1", 0.3)
    cache.put("b", b"1", 60)
    assert 0.1 < until_gone(cache, "a") < 5
    assert cache.get("b") == [b"1"]


def test_a_value_that_is_too_large_is_not_kept_and_neither_is_the_one_before(
    cache: Cache,
) -> None:
    cache.put("a", b"1", 60)
    cache.put("a", bytes(LARGEST + 1), 60)
    assert cache.get("a") == [None]
    cache.add("a", bytes(LARGEST + 1), 60)
    assert cache.get("a") == [None]
    cache.put("a", bytes(LARGEST), 60)
    assert cache.get("a") == [bytes(LARGEST)]


def test_a_processs_memory_is_bounded_the_least_recently_used_first_to_go() -> None:
    cache = MemoryCache(room=30)
    for key in ("a", "b", "c"):
        cache.put(key, b"0123456789", 5)
    assert cache.get("a") == [b"0123456789"]
    cache.put("d", b"0123456789", 5)
    assert cache.get("a", "b", "c", "d") == [b"0123456789", None, b"0123456789", b"0123456789"]


def test_a_process_keeps_nothing_for_long_that_others_may_have_changed() -> None:
    clock = [100.0]
    cache = MemoryCache(clock=lambda: clock[0])
    cache.put("a", b"1", 600)
    clock[0] += 4.9
    assert cache.get("a") == [b"1"]
    clock[0] += 0.2
    assert cache.get("a") == [None]


def test_what_one_machine_keeps_the_other_finds(redis_url: str) -> None:
    one, other = open_cache(redis_url), open_cache(redis_url)
    assert one.shared
    one.put("a", b"1", 60)
    assert other.get("a") == [b"1"]
    other.forget("a")
    assert one.get("a") == [None]


def test_a_redis_that_is_gone_holds_nothing_and_is_not_waited_for() -> None:
    cache = open_cache("redis://127.0.0.1:9/0")
    began = time.monotonic()
    for _ in range(200):
        cache.put("a", b"1", 60)
        cache.add("a", b"1", 60)
        cache.forget("a")
        assert cache.get("a", "b") == [None, None]
    assert time.monotonic() - began < 1


def test_a_redis_that_comes_back_is_used_again(redis_server: Redis, redis_url: str) -> None:
    cache = open_cache(redis_url)
    cache.put("a", b"1", 60)
    meanwhile: list[object] = []
    redis_server.restart(lambda: meanwhile.append(cache.get("a")))
    assert meanwhile == [[None]]
    end = time.monotonic() + 10
    while cache.get("a") != [b"1"]:
        assert time.monotonic() < end
        cache.put("a", b"1", 60)
        time.sleep(0.02)


@pytest.mark.parametrize("url", ["", "memory://"])
def test_without_redis_each_process_has_its_own(url: str) -> None:
    assert not open_cache(url).shared
