"""Transactions of either kind, on every database."""

from __future__ import annotations

import pytest

from bot.models import uploads
from bot.models.database import Database, SqliteDatabase
from bot.models.tables import Project


@pytest.mark.parametrize("durable", [True, False])
def test_a_transaction_is_kept_or_undone_as_a_whole(database: Database, durable: bool) -> None:
    with database.write(durable=durable):
        uploads.project_for("kept")

    def fail() -> None:
        with database.write(durable=durable):
            uploads.project_for("undone")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [row.name for row in Project.select()] == ["kept"]


def test_only_what_may_be_lost_goes_without_waiting_for_the_disk(database: Database) -> None:
    def waits() -> bool:
        """https://www.sqlite.org/pragma.html#pragma_synchronous: 2 is FULL."""
        if isinstance(database, SqliteDatabase):
            return bool(database.execute_sql("PRAGMA synchronous").fetchone()[0] == 2)
        return bool(database.execute_sql("SHOW synchronous_commit").fetchone()[0] == "on")

    with database.write(durable=False):
        assert not waits()
        with database.write():
            assert not waits()
    with pytest.raises(ZeroDivisionError), database.write(durable=False):
        _ = 1 / 0
    with database.write():
        assert waits()
        with database.write(durable=False):
            assert waits()
