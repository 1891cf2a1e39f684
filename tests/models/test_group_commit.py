"""One commit for many: everybody gets their own answer, and nobody another's failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bot.models import group_commit, inbox
from bot.models.database import Database
from bot.models.group_commit import GroupCommit
from bot.models.tables import Delivery

_DEADLINE = 10.0


class CountingDatabase:
    """Counts transactions; the first stays open until `release` is set, so that others gather."""

    shares_commits = True

    def __init__(self, database: Database) -> None:
        self.database = database
        self.commits = 0
        self.entered = threading.Event()
        self.release = threading.Event()

    @contextmanager
    def write(self) -> Iterator[None]:
        self.commits += 1
        with self.database.write():
            yield
            if not self.entered.is_set():
                self.entered.set()
                assert self.release.wait(_DEADLINE)


def remember(guid: str) -> Callable[[], str]:
    def work() -> str:
        inbox.remember(guid, "push", "", "")
        return guid

    return work


def guids() -> set[str]:
    return {row.guid for row in Delivery.select()}


class Callers:
    """Threads that run work; what each got or had raised is kept under its name."""

    def __init__(self, commits: GroupCommit) -> None:
        self.commits = commits
        self.answers: dict[str, Any] = {}
        self.threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], Any]) -> None:
        def run() -> None:
            try:
                self.answers[name] = self.commits.run(work)
            except BaseException as error:
                self.answers[name] = error

        thread = threading.Thread(target=run)
        thread.start()
        self.threads.append(thread)

    def wait_until_waiting(self, count: int) -> None:
        deadline = threading.Event()
        for _ in range(int(_DEADLINE * 1000)):
            if len(self.commits._waiting) == count:
                return
            deadline.wait(0.001)
        pytest.fail(f"{count} callers did not gather")

    def join(self) -> None:
        for thread in self.threads:
            thread.join(_DEADLINE)
            assert not thread.is_alive()


@pytest.fixture
def counting(database: Database) -> CountingDatabase:
    return CountingDatabase(database)


def gather(counting: CountingDatabase, works: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run `first` alone, and have all of `works` come while it commits."""
    callers = Callers(GroupCommit(counting))
    callers.start("first", remember("first"))
    assert counting.entered.wait(_DEADLINE)
    for name, work in works.items():
        callers.start(name, work)
    callers.wait_until_waiting(len(works))
    counting.release.set()
    callers.join()
    return callers.answers


def test_a_lone_caller_waits_for_nobody(database: Database) -> None:
    commits = GroupCommit(database)
    assert commits.run(remember("one")) == "one"
    assert commits.run(remember("two")) == "two"
    assert guids() == {"one", "two"}


def test_those_who_come_while_another_commits_share_the_next_commit(
    counting: CountingDatabase,
) -> None:
    names = [f"n{number}" for number in range(20)]
    answers = gather(counting, {name: remember(name) for name in names})
    assert answers == {name: name for name in ["first", *names]}
    assert guids() == set(answers)
    assert counting.commits == 2


def test_one_callers_failure_leaves_the_others_alone(counting: CountingDatabase) -> None:
    def fail() -> None:
        inbox.remember("failing", "push", "", "")
        raise LookupError("mine alone")

    answers = gather(counting, {"a": remember("a"), "bad": fail, "b": remember("b")})
    assert isinstance(answers.pop("bad"), LookupError)
    assert answers == {"first": "first", "a": "a", "b": "b"}
    assert guids() == {"first", "a", "b"}


def test_a_lone_callers_failure_keeps_nothing_it_wrote_and_locks_nobody_out(
    database: Database,
) -> None:
    def fail() -> None:
        inbox.remember("failing", "push", "", "")
        raise LookupError("why")

    commits = GroupCommit(database)
    with pytest.raises(LookupError, match="why"):
        commits.run(fail)
    assert commits.run(remember("after")) == "after"
    assert guids() == {"after"}


def test_a_database_that_cannot_be_written_fails_everybody_and_recovers(
    database: Database,
) -> None:
    broken = True

    class Failing:
        shares_commits = True

        @contextmanager
        def write(self) -> Iterator[None]:
            if broken:
                raise OSError("no space left")
            with database.write():
                yield

    commits = GroupCommit(Failing())  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            commits.run(remember("one"))
    broken = False
    assert commits.run(remember("two")) == "two"
    assert guids() == {"two"}


def test_a_commit_that_fails_keeps_nobodys_work(database: Database) -> None:
    class CommitFails:
        shares_commits = True

        @contextmanager
        def write(self) -> Iterator[None]:
            with database.write():
                yield
                raise OSError("the disk is gone")

    commits = GroupCommit(CommitFails())  # type: ignore[arg-type]
    with pytest.raises(OSError, match="the disk is gone"):
        commits.run(remember("one"))
    assert guids() == set()


def test_a_batch_is_bounded(counting: CountingDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "LARGEST_BATCH", 3)
    names = [f"n{number}" for number in range(7)]
    answers = gather(counting, {name: remember(name) for name in names})
    assert guids() == set(answers)
    assert counting.commits == 1 + 3


def test_many_threads_at_once_all_get_their_own_answer(database: Database) -> None:
    callers = Callers(GroupCommit(database))
    for number in range(100):
        callers.start(f"n{number}", remember(f"n{number}"))
    callers.join()
    assert callers.answers == {f"n{number}": f"n{number}" for number in range(100)}
    assert guids() == set(callers.answers)
