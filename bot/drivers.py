"""Keeps out of memory the drivers that no setting asks for.

peewee and Huey try to import every driver that is installed: PostgreSQL's and Redis's
cost each process ten megabytes and more, on laptops that have neither.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from bot.settings import Settings


@contextlib.contextmanager
def only_needed(settings: Settings) -> Iterator[None]:
    """To import the bot's own modules in. Afterwards every driver can be imported again."""
    absent = [name for name in _unneeded(settings) if name not in sys.modules]
    # https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _unneeded(settings: Settings) -> Iterator[str]:
    if settings.DATABASE_URL.startswith("sqlite:"):
        yield from ("psycopg", "psycopg2", "psycopg2cffi")
    if settings.QUEUE_URL.startswith("sqlite:"):
        yield "redis"
