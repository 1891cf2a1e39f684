"""What every test may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.models.database import Database, connect
from bot.settings import Settings, load
from tests.servers import Postgres, Redis, start_postgres, start_redis
from tests.storage.s3_server import FaultyProxy, S3Server

# These tests run on both databases; elsewhere SQLite stands for both.
_ON_BOTH = (
    "models/",
    "github/test_created_once",
    "github/test_report",
    "github/test_sender",
    "serve/test_aliases",
    "test_retention.py",
    "test_dead_letters",
    "test_explanations",
    "test_shared_logs",
    "test_worker.py",
    "test_worker_secrets",
    "webhooks/test_forks",
    "webhooks/test_intake",
    "webhooks/test_repositories",
)
# PostgreSQL shares disk flushes by itself, and plans queries in its own way.
_SQLITE_ALONE = ("test_group_commit", "found_by_an_index")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" not in metafunc.fixturenames:
        return
    path = str(metafunc.definition.path.relative_to(Path(__file__).parent))
    own = any(name in metafunc.definition.nodeid for name in _SQLITE_ALONE)
    both = path.startswith(_ON_BOTH) and not own
    kinds = ["sqlite", "postgresql"] if both else ["sqlite"]
    metafunc.parametrize("database_kind", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests that need one."""
    server = start_postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    server = start_redis()
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """An empty Redis."""
    redis_server.flush()
    return redis_server.url()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def s3_proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """A way to the S3 server on which calls fail as soon as its `share` is set."""
    started = FaultyProxy(s3_server.port, share=0)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """The name of a migrated database, which others are copied from."""
    url = postgres.fresh_database()
    connect(url)
    return url.rpartition("/")[2]


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a throw-away bot; keyword arguments are settings as text."""

    def make(**given: Any) -> Settings:
        environ = {"DATA_DIR": str(tmp_path / "data")} | {k: str(v) for k, v in given.items()}
        return load(environ, dotenv=None)

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def database_url(
    database_kind: str, settings: Settings, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A fresh database of the kind that the test is run on."""
    if database_kind == "sqlite":
        yield settings.DATABASE_URL
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.fresh_database(request.getfixturevalue("migrated"))
    yield url
    server.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database that the models are bound to."""
    opened = connect(database_url)
    yield opened
    opened.close()
