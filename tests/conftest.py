"""What every test may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.models.database import Database, connect
from bot.settings import Settings, load


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
def database(settings: Settings) -> Iterator[Database]:
    """A fresh, migrated SQLite database that the models are bound to."""
    opened = connect(settings.DATABASE_URL)
    yield opened
    opened.close()
