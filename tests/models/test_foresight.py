"""What waiting builds are told: place, time, and reason."""

from __future__ import annotations

import pytest

from bot.models import foresight, workers
from bot.models.database import Database
from bot.models.foresight import Waiting
from bot.models.ids import now
from bot.models.tables import Build, Project
from tests.models.test_queue import Yard

_MINUTE = 60_000  # ms


class Foresight(Yard):
    """A yard whose projects' builds take a minute, as their earlier ones did."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.slots = 0

    def hire(self, slots: int) -> None:
        with self.database.write():
            workers.renew(f"wrk-{slots}", "here", slots)

    def took(self, name: str, *minutes: float) -> None:
        for number, length in enumerate(minutes):
            build_id = self.push(name)
            begun = 1_000_000 + number
            Build.update(
                status="ready", started_at=begun, completed_at=begun + int(length * _MINUTE)
            ).where(Build.id == build_id).execute()

    def run(self, name: str, minutes: float = 0.0) -> str:
        build_id = self.push(name)
        began = now() - int(minutes * _MINUTE)
        Build.update(status="building", started_at=began).where(Build.id == build_id).execute()
        return build_id

    def told(self, limit: int = 0) -> list[tuple[str, Waiting]]:
        return list(foresight.waiting(limit).items())


@pytest.fixture
def yard(database: Database, monkeypatch: pytest.MonkeyPatch) -> Foresight:
    monkeypatch.setattr(foresight, "_KEPT", -1.0)
    monkeypatch.setattr(foresight, "_DURATIONS_KEPT", -1.0)
    return Foresight(database)


def test_nothing_waits_nothing_is_told(yard: Foresight) -> None:
    assert yard.told() == []


def test_without_a_worker_that_is_what_everything_waits_for(yard: Foresight) -> None:
    yard.push("a")
    ((_, waiting),) = yard.told()
    assert waiting.text == "1st in the queue, waiting for a worker: none is running"


def test_a_build_waits_for_a_worker_that_is_free_and_how_long_others_took_says_when(
    yard: Foresight,
) -> None:
    yard.hire(1)
    yard.took("a", 3, 1, 2)
    yard.run("a", minutes=0.3)
    first, second = yard.push("a"), yard.push("a")
    told = dict(yard.told())
    assert list(told) == [first, second]
    assert told[first].seconds == pytest.approx(102, abs=5)
    assert told[second].seconds == pytest.approx(222, abs=5)
    assert told[second].text == "2nd in the queue, about 4 min, waiting for a free worker"


def test_what_the_projects_limit_holds_back_says_so_and_is_overtaken(yard: Foresight) -> None:
    yard.hire(4)
    yard.took("a", 2)
    yard.took("b", 2)
    yard.run("a")
    held = yard.push("a")
    behind = yard.push("a")
    free = yard.push("b")
    told = dict(yard.told(limit=1))
    assert list(told) == [free, held, behind]
    assert told[free].text == "1st in the queue, about to begin"
    assert told[held].reason == "waiting for the project's limit of 1"
    assert told[held].seconds == pytest.approx(120, abs=5)
    assert told[behind].text.startswith("3rd in the queue, about 4 min, waiting for the project's")
    Project.update(concurrency=0).execute()
    assert {one.reason for _, one in yard.told(limit=1)} == {"about to begin"}


def test_the_order_is_the_one_in_which_builds_are_taken_up(yard: Foresight) -> None:
    yard.hire(1)
    for name in ("a", "b", "c"):
        yard.took(name, 1)
    for name in ("b", "a", "a", "c", "a"):
        yard.push(name)
    yard.push("c", "production")
    yard.again(yard.push("b", "production"))
    expected = list(dict(yard.told()))
    assert [yard.take() for _ in expected] == expected
    assert len(expected) == 7


def test_where_nothing_is_known_of_a_project_nothing_is_promised_behind_it(
    yard: Foresight,
) -> None:
    yard.hire(1)
    yard.push("new")
    yard.push("new")
    first, second = (one for _, one in yard.told())
    assert first.text == "1st in the queue, about to begin"
    assert second.text == "2nd in the queue, waiting for a free worker"


def test_a_build_that_is_repeated_after_our_fault_says_so(yard: Foresight) -> None:
    yard.hire(1)
    yard.took("a", 1)
    build_id = yard.push("a")
    Build.update(due_at=now() + 2 * _MINUTE).where(Build.id == build_id).execute()
    ((_, waiting),) = yard.told()
    assert waiting.text == "1st in the queue, about 2 min, to be repeated after a fault on our side"


def test_a_thousand_waiting_builds_have_a_place_each(yard: Foresight) -> None:
    from tests.models.test_queue import fill

    yard.hire(3)
    fill(yard, 1000)
    told = yard.told(limit=2)
    assert [one.place for _, one in told] == list(range(1, 1022))
    assert told[-1][1].seconds is None


@pytest.mark.parametrize(
    ("place", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (21, "21st")],
)
def test_places_are_told_as_people_say_them(place: int, text: str) -> None:
    assert Waiting(place, None, "x").text == f"{text} in the queue, x"
