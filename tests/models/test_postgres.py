"""What many machines rely on: one order for each project, and a server that may come and go."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bot.errors import InvalidSetting, SystemFault
from bot.models import builds, deployments, inbox, outbox, parts, projects, sql
from bot.models.database import Database, connect
from bot.models.group_commit import GroupCommit
from bot.models.ids import now
from bot.models.status import AliasKind, OutboxState
from bot.models.tables import Alias, Build, Delivery, OutboxEntry
from tests.servers import Postgres

_THREADS = 8


@pytest.fixture
def shared(postgres: Postgres, migrated: str) -> Any:
    url = postgres.fresh_database(migrated)
    opened = connect(url, connections=_THREADS)
    yield opened
    opened.close()
    postgres.drop(url)


def project(database: Database, name: str = "octo/site") -> int:
    with database.write():
        return projects.connect_project(
            name, production_branch="main", private=False, installation_id=None
        )


def at_once(work: Callable[[int], Any], count: int = _THREADS) -> list[Any]:
    """What `work` answers in as many threads, started at the same moment."""
    barrier, answers = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        barrier.wait()
        try:
            answers[number] = work(number)
        except Exception as error:
            answers[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_many_claims_one_has_the_build(shared: Database) -> None:
    project_id = project(shared)
    for number in range(10):
        with shared.write():
            build_id = deployments.request_build(
                project_id, f"{number:040x}", "main", "push", "preview"
            ).build_id

        def claim(number: int, build_id: str = build_id) -> bool:
            with shared.write():
                return builds.claim(build_id, f"worker:{number}:x")

        assert sorted(at_once(claim)) == [False] * (_THREADS - 1) + [True]
        assert Build.get_by_id(build_id).attempts == 1


def test_a_delivery_that_arrives_many_times_at_once_is_taken_in_once(shared: Database) -> None:
    commits = GroupCommit(shared)
    answers = at_once(lambda _number: commits.run(lambda: inbox.remember("guid", "push", "", "")))
    assert sorted(answers) == [False] * (_THREADS - 1) + [True]
    assert Delivery.select().count() == 1


def test_one_commit_asked_for_many_times_at_once_is_built_once(shared: Database) -> None:
    project_id = project(shared)

    def ask(_number: int) -> bool:
        with shared.write():
            return deployments.request_build(
                project_id, "a" * 40, "main", "push", "production"
            ).created

    assert sorted(at_once(ask)) == [False] * (_THREADS - 1) + [True]


def test_of_pushes_that_come_in_any_order_the_newest_wins(shared: Database) -> None:
    project_id = project(shared)

    def move(number: int) -> None:
        with shared.write():
            projects.move_ref(project_id, "main", f"{number:040x}", 1000 + number, "")

    for _ in range(5):
        assert not any(at_once(move))
        found = shared.execute_sql("SELECT sha FROM refs").fetchall()
        assert found == [(f"{_THREADS - 1:040x}",)]
        shared.execute_sql("DELETE FROM refs")


def test_an_outbox_entry_is_given_to_one_sender_and_keys_keep_their_order(
    shared: Database,
) -> None:
    project_id = project(shared)

    def add(number: int) -> None:
        with shared.write():
            outbox.add(project_id, "status", f"key-{number % 3}", {"n": number})

    at_once(add)
    sent: list[tuple[str, int]] = []

    def send(_number: int) -> None:
        while True:
            with shared.write():
                entry = outbox.claim_due(now())
            if entry is None:
                if outbox.next_due() is None and not _sending():
                    return
                continue
            sent.append((entry.key, entry.id))
            with shared.write():
                outbox.end(entry, OutboxState.SENT, now())

    assert not any(at_once(send))
    assert len(sent) == len(set(sent)) == _THREADS
    for key in {key for key, _ in sent}:
        ids = [id_ for found, id_ in sent if found == key]
        assert ids == sorted(ids)


def _sending() -> bool:
    return bool(OutboxEntry.select().where(OutboxEntry.state == OutboxState.SENDING).exists())


def test_a_push_and_the_end_of_an_older_build_leave_the_alias_at_the_newer(
    shared: Database,
) -> None:
    """The build of A ends while the branch goes to B and back to C, which are live."""
    project_id = project(shared)
    made = {}
    with shared.write():
        for letter in "abc":
            sha = letter * 40
            made[letter] = deployments.request_build(
                project_id, sha, "topic", "push", "preview"
            ).deployment_id
    for moved_at in range(1, 30):
        head = "abc"[moved_at % 3]

        def step(number: int, head: str = head, moved_at: int = moved_at) -> None:
            with shared.write():
                if number == 0:
                    projects.move_ref(project_id, "topic", head * 40, moved_at, "")
                    projects.point_aliases(made[head])
                else:
                    projects.point_aliases(made["abc"[number % 3]])

        assert not any(at_once(step, 4))
        alias = Alias.get(Alias.kind == AliasKind.BRANCH)
        assert alias.deployment_id == made[head]


def test_the_projects_of_one_repository_have_one_lock(shared: Database) -> None:
    main = project(shared)
    with shared.write():
        asked = deployments.request_build(main, "a" * 40, "main", "push", "production")
        docs = deployments.project_of(parts.request(asked.deployment_id, ["docs"])[0].deployment_id)
        shop = deployments.project_of(parts.request(asked.deployment_id, ["shop"])[0].deployment_id)
    assert docs is not None
    assert shop is not None
    inside: list[int] = []
    most = 0

    def decide(number: int) -> None:
        nonlocal most
        first, second = [(main, docs), (docs, shop), (shop, main)][number % 3]
        with shared.write():
            sql.lock_project(first)
            inside.append(number)
            most = max(most, len(inside))
            # Upon another, meanwhile: with a lock for each they would wait for one another.
            outbox.add(second, "status", f"key-{number}", {})
            inside.remove(number)

    for _ in range(5):
        assert at_once(decide) == [None] * _THREADS
    assert most == 1
    assert OutboxEntry.select().count() == 5 * _THREADS


def test_no_more_connections_are_opened_than_allowed(postgres: Postgres, migrated: str) -> None:
    url = postgres.fresh_database(migrated)
    opened = connect(url, connections=2)
    answers = at_once(lambda _n: opened.execute_sql("SELECT pg_sleep(0.02)").fetchone(), 12)
    assert len(answers) == 12
    assert not any(isinstance(answer, Exception) for answer in answers)
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    (count,) = opened.execute_sql(statement).fetchone()
    assert count <= 2
    opened.close()
    postgres.drop(url)


def test_a_statement_outlives_a_restart_and_a_transaction_says_that_it_is_lost(
    postgres: Postgres, shared: Database
) -> None:
    project_id = project(shared)
    postgres.restart()
    assert projects.by_name("octo/site").id == project_id  # type: ignore[union-attr]
    with pytest.raises(SystemFault) as caught, shared.write():  # noqa: PT012
        inbox.remember("lost", "push", "", "")
        postgres.restart()
        inbox.remember("lost too", "push", "", "")
    assert caught.value.code == "database-unavailable"
    with shared.write():
        assert inbox.remember("lost", "push", "", "")
    assert Delivery.select().count() == 1


def test_a_server_that_stays_away_is_a_fault_of_ours(
    postgres: Postgres, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.models.postgres.PATIENCE", 0.2)

    def meanwhile() -> None:
        with pytest.raises(SystemFault) as caught, shared.write():
            pass
        assert caught.value.code == "database-unavailable"

    postgres.restart(meanwhile)
    with shared.write():
        assert inbox.remember("after", "push", "", "")


def test_two_processes_that_start_together_migrate_once(postgres: Postgres) -> None:
    url = postgres.fresh_database()
    script = "import sys; from bot.models.database import connect; connect(sys.argv[1])"
    started = [subprocess.Popen((sys.executable, "-c", script, url)) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    opened = connect(url)
    names = [row[0] for row in opened.execute_sql("SELECT name FROM schema_migration").fetchall()]
    assert names == sorted(path.stem for path in _migrations())
    opened.close()
    postgres.drop(url)


def _migrations() -> list[Any]:
    from bot.models.database import MIGRATIONS

    return list(MIGRATIONS.glob("[0-9]*.py"))


def test_an_address_where_nothing_is_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.models.postgres.PATIENCE", 0)
    with pytest.raises(InvalidSetting, match=r"DATABASE_URL: .*refused"):
        connect("postgresql://bot@127.0.0.1:9/nothing")
