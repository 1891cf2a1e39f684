"""What the database says of addresses is shared, and never outlives a change that is announced."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.announcements import Announcements
from bot.cache import open_cache
from bot.models.access import Access, AccessKind
from bot.models.resolve import Found
from bot.serve.lookups import SharedLookups

SHA = "b" * 40
READY = Found("dpl-1", SHA, "octo/site", "preview", "ready")


class Database:
    """Answers what the test says, and counts how often it is asked."""

    def __init__(self) -> None:
        self.rows = [READY]
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def find(self, _key: str) -> list[Found]:
        self.asked += 1
        found = self.rows
        self.meanwhile()
        return found


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def lookups(database: Database, redis_url: str) -> SharedLookups:
    return SharedLookups(database.find, open_cache(redis_url))


def test_machines_ask_once_together(
    database: Database, lookups: SharedLookups, redis_url: str
) -> None:
    other = SharedLookups(database.find, open_cache(redis_url))
    for _ in range(3):
        assert lookups(SHA) == other(SHA) == [READY]
    assert database.asked == 1


def test_a_change_that_is_announced_is_seen_by_the_next_look(
    database: Database, lookups: SharedLookups, redis_url: str
) -> None:
    assert lookups(SHA) == [READY]
    database.rows = [replace(READY, status="deleted")]
    Announcements(redis_url).announce()
    assert lookups(SHA) == database.rows


def test_what_was_read_before_a_change_is_not_kept_beyond_it(
    database: Database, lookups: SharedLookups, redis_url: str
) -> None:
    def change() -> None:
        database.rows = []
        Announcements(redis_url).announce()
        database.meanwhile = lambda: None

    database.meanwhile = change
    assert lookups(SHA) == [READY]  # as it was when it was asked for
    assert lookups(SHA) == []


def test_a_lost_announcement_is_made_up_for_within_seconds(
    database: Database, lookups: SharedLookups
) -> None:
    database.rows = [replace(READY, status="pending", build_status="queued")]
    assert lookups(SHA) == database.rows
    database.rows = [READY]
    end = time.monotonic() + 5
    while lookups(SHA) != [READY]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_secrets_of_protected_projects_stay_in_the_database(
    database: Database, lookups: SharedLookups
) -> None:
    access = Access(1, AccessKind.PASSWORD, "salt$digest", "aa")
    database.rows = [READY, replace(READY, access=access)]
    assert lookups(SHA) == lookups(SHA) == database.rows
    assert database.asked == 2


def test_neither_unknown_keys_nor_parts_of_them_are_kept(
    database: Database, lookups: SharedLookups
) -> None:
    assert lookups("bbbbbbb") == lookups("bbbbbbb") == [READY]
    database.rows = []
    assert lookups(SHA) == lookups(SHA) == []
    assert database.asked == 4


def test_what_another_version_has_kept_is_passed_over(
    database: Database, lookups: SharedLookups, redis_url: str
) -> None:
    open_cache(redis_url).put(f"found:{SHA}", b"\x93garbage", 60)
    assert lookups(SHA) == [READY]


def test_without_redis_the_database_is_asked_each_time(database: Database) -> None:
    lookups = SharedLookups(database.find, open_cache("redis://127.0.0.1:9/0"))
    assert lookups(SHA) == lookups(SHA) == [READY]
    assert database.asked == 2
