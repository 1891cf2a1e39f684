"""A push becomes a page with everything in PostgreSQL and Redis, restarts included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.models.database import connect
from tests.journeys.conftest import Bot
from tests.servers import Postgres, Redis

pytestmark = pytest.mark.journey


def test_a_push_becomes_a_page_whatever_was_restarted_before(
    start_bot: Callable[..., Bot],
    postgres: Postgres,
    redis_server: Redis,
    redis_url: str,
    tmp_path: Path,
) -> None:
    database_url = postgres.fresh_database()
    bot = start_bot(DATABASE_URL=database_url, QUEUE_URL=redis_url, CACHE_URL=redis_url)
    first = bot.push({"index.html": "<h1>first</h1>"}, tmp_path / "site")
    bot.ready(first)
    assert "first" in bot.get(f"/{first}/").text
    production = "/~/local-site/production/"
    redis_server.restart()
    postgres.restart()
    second = bot.push({"index.html": "<h1>second</h1>"}, tmp_path / "site")
    bot.ready(second)
    assert "second" in bot.get(production).text
    assert "first" in bot.get(f"/{first}/").text
    bot.stop()
    postgres.drop(database_url)


def test_a_moved_alias_is_seen_by_every_web_process_at_once(
    start_bot: Callable[..., Bot], postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    """Two machines' web processes keep what they answered; a rollback is told to both."""
    from bot.models import changes
    from bot.models.tables import Project

    database_url = postgres.fresh_database()
    shared = {
        "DATABASE_URL": database_url,
        "QUEUE_URL": redis_url,
        "CACHE_URL": redis_url,
        "STORAGE_URL": f"file://{tmp_path}/artifacts",
    }
    one = start_bot(**shared)
    first = one.push({"index.html": "<h1>first</h1>"}, tmp_path / "site")
    one.ready(first)
    second = one.push({"index.html": "<h1>second</h1>"}, tmp_path / "site")
    one.ready(second)
    two = start_bot(WEB_WORKERS="1", **shared)
    production = "/~/local-site/production/"
    for bot in (one, two):
        for _ in range(4):
            assert "second" in bot.get(production).text

    from bot.announcements import announce_changes

    database = connect(database_url)
    announce_changes(one.settings, database)
    with database.write():
        changes.roll_back(Project.get().id)
    for bot in (one, two):
        for _ in range(4):
            assert "first" in bot.get(production).text
    database.close()
    one.stop()
    two.stop()
    postgres.drop(database_url)
