"""Who is next: priorities, turns of projects, limits, and what it costs to find out."""

from __future__ import annotations

from typing import Any

import pytest

from bot.models import builds, deployments, projects, queue, sql
from bot.models.database import Database, SqliteDatabase
from bot.models.ids import now
from bot.models.queue import Priority
from bot.models.tables import Build, Project


class Yard:
    """Projects with builds, and a worker that takes them up by the rules."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ids: dict[str, int] = {}
        self.number = 0

    def project(self, name: str) -> int:
        if name not in self.ids:
            with self.database.write():
                self.ids[name] = projects.connect_project(
                    f"octo/{name}", production_branch="main", private=False, installation_id=None
                )
        return self.ids[name]

    def push(self, name: str, environment: str = "preview") -> str:
        project_id = self.project(name)
        self.number += 1
        with self.database.write():
            build_id = deployments.request_build(
                project_id, f"{self.number:040x}", "main", "push", environment
            ).build_id
            # Within a millisecond nobody was first.
            at = {"created_at": self.number, "due_at": self.number}
            Build.update(at).where(Build.id == build_id).execute()
            return build_id

    def again(self, build_id: str) -> str:
        with self.database.write():
            Build.update(status="failed").where(Build.id == build_id).execute()
            return deployments.retry_build(Build.get_by_id(build_id).deployment_id).build_id

    def take(self, limit: int = 0) -> str:
        """The id of the build that is taken up now; empty: none."""
        candidate = queue.next_build(limit, now())
        if candidate is None:
            return ""
        with self.database.write():
            assert builds.claim(candidate.build_id, "w:1", limit=candidate.limit)
            queue.had_turn(candidate)
        return candidate.build_id

    def end(self, build_id: str) -> None:
        with self.database.write():
            Build.update(status="failed").where(Build.id == build_id).execute()


@pytest.fixture
def yard(database: Database) -> Yard:
    return Yard(database)


def test_production_goes_before_previews_and_these_before_what_is_built_again(
    yard: Yard,
) -> None:
    again = yard.again(yard.push("a", "production"))
    preview, production = yard.push("a"), yard.push("b", "production")
    assert [yard.take() for _ in range(4)] == [production, preview, again, ""]


def test_a_preview_that_becomes_production_hurries(yard: Yard) -> None:
    yard.push("a")
    late = yard.push("b")
    with yard.database.write():
        again = deployments.request_build(
            yard.project("b"), f"{yard.number:040x}", "main", "push", "production"
        )
    assert again.build_id == late
    assert yard.take() == late


def test_projects_take_turns_whatever_number_each_has_waiting(yard: Yard) -> None:
    crowd = [yard.push("a") for _ in range(100)]
    one, two = yard.push("b"), yard.push("c")
    taken = [yard.take() for _ in range(6)]
    assert taken == [crowd[0], one, two, crowd[1], crowd[2], crowd[3]]
    late = yard.push("b")
    assert [yard.take(), yard.take()] == [late, crowd[4]]


def test_turns_are_of_one_priority_each(yard: Yard) -> None:
    previews = [yard.push("a"), yard.push("b")]
    production = yard.push("b", "production")
    assert [yard.take() for _ in range(3)] == [production, *previews]


def test_no_project_has_more_running_than_the_limit(yard: Yard) -> None:
    first, second = yard.push("a"), yard.push("a")
    other = yard.push("b")
    assert [yard.take(limit=1) for _ in range(3)] == [first, other, ""]
    yard.end(first)
    assert yard.take(limit=1) == second


def test_a_projects_own_limit_counts_instead_of_the_operators(yard: Yard) -> None:
    free, tight = yard.project("free"), yard.project("tight")
    Project.update(concurrency=0).where(Project.id == free).execute()
    Project.update(concurrency=2).where(Project.id == tight).execute()
    for name in ("free", "tight", "other"):
        for _ in range(4):
            yard.push(name)
    taken = [yard.take(limit=1) for _ in range(8)]
    counts: dict[int, int] = {}
    for build_id in filter(None, taken):
        project_id = Build.get_by_id(build_id).project_id
        counts[project_id] = counts.get(project_id, 0) + 1
    assert counts == {free: 4, tight: 2, yard.project("other"): 1}


def test_a_claim_beyond_the_limit_fails(yard: Yard) -> None:
    first, second = yard.push("a"), yard.push("a")
    with yard.database.write():
        assert builds.claim(first, "w:1", limit=1)
        assert not builds.claim(second, "w:2", limit=1)
        assert builds.claim(second, "w:2", limit=2)


def test_what_is_repeated_after_our_fault_waits_and_then_comes_after_the_others(
    yard: Yard,
) -> None:
    broken = yard.push("a")
    assert yard.take() == broken
    with yard.database.write():
        assert builds.hand_back(broken, "w:1", delay=60_000)
    other = yard.push("a")
    assert [yard.take(), yard.take()] == [other, ""]
    later = queue.next_build(0, now() + 60_001)
    assert later is not None
    assert later.build_id == broken


def test_what_a_stopping_worker_hands_back_keeps_its_place(yard: Yard) -> None:
    first = yard.push("a")
    yard.push("a")
    assert yard.take() == first
    with yard.database.write():
        assert builds.hand_back(first, "w:1", uncounted=True)
    assert yard.take() == first


def test_what_is_superseded_or_cancelled_leaves_the_queue(yard: Yard) -> None:
    build_id = yard.push("a")
    with yard.database.write():
        deployments.supersede(yard.project("a"), "main", f"{yard.number:040x}")
    assert Build.get_by_id(build_id).status == "superseded"
    assert yard.take() == ""


_FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO builds (id, deployment_id, status, logs, framework, stages, error_code, error_message,
    attempts, worker, delivery, lease_until, created_at, due_at, project_id, priority)
SELECT 'bld-' || s.status || n.i, o.deployment_id, s.status, '', '', '{}', '', '', 0, '', '', 0,
    n.i, n.i, o.project_id, 1
FROM n
JOIN (SELECT deployment_id, project_id, ROW_NUMBER() OVER (ORDER BY project_id) AS number
    FROM builds) o ON o.number = CASE WHEN n.i % 2 = 1 THEN 1 ELSE 2 + (n.i / 2) % 20 END
CROSS JOIN (SELECT 'queued' AS status UNION ALL SELECT 'ready') s
"""


def fill(yard: Yard, count: int) -> None:
    """Queue `count` builds: half of one project's, half of twenty others', and as many ended."""
    for number in range(21):
        yard.push(f"p{number}")
    with yard.database.write():
        sql.execute(_FILL, count - 1)
    yard.database.execute_sql("ANALYZE")
    waiting = Build.select().where(Build.status == "queued").count()
    assert waiting == count + 21


class Counted:
    """The statements that something takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[tuple[str, tuple[Any, ...]]] = []
        run = sql.execute

        def count(statement: str, *values: object) -> Any:
            self.statements.append((statement, values))
            return run(statement, *values)

        monkeypatch.setattr(sql, "execute", count)


def plan(database: Database, statement: str, values: tuple[Any, ...]) -> str:
    explain = "EXPLAIN QUERY PLAN " if isinstance(database, SqliteDatabase) else "EXPLAIN "
    return "\n".join(str(row) for row in sql.execute(explain + statement, *values).fetchall())


def test_with_ten_thousand_waiting_builds_a_claim_costs_what_it_costs_with_twenty(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(yard, 10_000)
    for _ in range(25):  # one project at its limit, others not
        assert yard.take(limit=2)
    counted = Counted(monkeypatch)
    assert queue.next_build(2, now()) is not None
    statements = list(counted.statements)
    assert len(statements) <= 12
    for statement, values in statements:
        if "FROM builds" in statement:
            found = plan(yard.database, statement, values)
            assert "builds_waiting" in found, found
            assert "builds_running" in found, found
            assert "Seq Scan on builds" not in found, found
            assert "SCAN b" not in found, found
            assert "Sort" not in found, found
            assert "B-TREE" not in found, found


def test_priorities_have_the_numbers_that_the_database_keeps(yard: Yard) -> None:
    kinds = [yard.push("a", "production"), yard.push("a"), yard.again(yard.push("a"))]
    assert [Build.get_by_id(one).priority for one in kinds] == list(Priority)
