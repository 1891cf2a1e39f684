"""What the dashboard shows of projects, as both databases find it."""

from __future__ import annotations

from bot.models import overview
from bot.models.database import Database
from bot.models.projects import connect_project


def test_both_databases_find_the_same(database: Database) -> None:
    with database.write():
        for name in ("octo/a_b", "octo/axb", "octo/Docs"):
            connect_project(name, production_branch="main", private=False, installation_id=None)
    found = [row.name for row in overview.projects(None, containing="A_B")]
    assert found == ["octo/a_b"]
    assert [row.name for row in overview.projects({1, 2}, after="octo/a_b")] == ["octo/axb"]
    assert overview.projects(set()) == []
