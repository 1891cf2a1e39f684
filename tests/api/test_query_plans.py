"""Lists cost what they show, however much there is: no statement walks a table for them."""

from __future__ import annotations

import re

import pytest

from benchmarks.full_database import fill
from bot.models.database import proxy
from tests.api.conftest import Running

# Of these there is a row for each deployment at least, for years.
_GROWING = "deployments|builds|files|deliveries|outbox|audit|traffic|aliases"
# `SCAN t USING INDEX` is a walk along an index in the order that is asked for: LIMIT ends it.
_WALK = re.compile(r"SCAN \w+(?! USING (?:COVERING )?INDEX)$")
_SORT = "USE TEMP B-TREE FOR ORDER BY"

LISTS = (
    "projects", "projects/1",
    "deployments", "deployments?project_id=1", f"deployments?sha={'0' * 40}",
    "deployments?status=failed", "deployments?project_id=1&ref=main",
    "deployments?environment=production",
    "builds", "builds?project_id=1", f"builds?sha={'0' * 40}", "builds?status=failed",
    "audit", "audit?project_id=1",
)  # fmt: skip


@pytest.fixture
def filled(api: Running) -> Running:
    fill(api.database, deployments=400, files=3)
    api.token = api.new_token()
    return api


@pytest.mark.parametrize("path", LISTS)
def test_a_list_walks_no_table_and_sorts_nothing(filled: Running, path: str) -> None:
    database = proxy.obj
    statements: list[str] = []
    connection = database.connection()
    connection.set_trace_callback(statements.append)
    answer = filled.get(f"/api/v1/{path}")
    connection.set_trace_callback(None)
    assert answer.status_code == 200, answer.text
    asked = {text for text in statements if re.search(rf'FROM "?({_GROWING}|projects)"?\b', text)}
    assert asked, "the list asked the database nothing"
    for statement in asked:
        plan = [row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {statement}")]
        shown = "\n".join([statement, *plan])
        # Without a condition the first rows that are met are those that are shown.
        assert " WHERE " not in statement or not any(map(_WALK.search, plan)), shown
        # Of one commit there is a handful.
        assert _SORT not in plan or "sha" in path, shown
