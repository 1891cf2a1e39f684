"""What GitHub is told of builds that wait: seldom, briefly, and only what is news."""

from __future__ import annotations

import json

import pytest

from bot.events import Bus
from bot.explanations import Explainer
from bot.github.report import Reporter
from bot.models import builds, chores, foresight, outbox, workers
from bot.models.database import Database
from bot.models.ids import now
from bot.models.tables import Build, OutboxEntry
from bot.settings import Settings
from tests.models.test_queue import Yard


class Office(Yard):
    """A yard whose builds have waited for a while, with somebody who tells of it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        super().__init__(database)
        bus = Bus()
        Reporter(settings, enabled=True).subscribe(bus)
        self.explainer = Explainer(database, bus, "wrk-1", limit=1)
        with database.write():
            workers.renew("wrk-1", "here", 1)

    def look(self) -> list[str]:
        """What is to be told now, once a minute has passed."""
        self.database.execute_sql("UPDATE chores SET completed_at = 0")
        self.explainer.look()
        return [
            json.loads(row.payload)["body"]["description"]
            for row in OutboxEntry.select().order_by(OutboxEntry.id)
        ]


@pytest.fixture
def office(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setattr(foresight, "_KEPT", -1.0)
    monkeypatch.setattr(foresight, "_DURATIONS_KEPT", -1.0)
    return Office(settings, database)


def test_a_status_says_place_and_reason_once(office: Office) -> None:
    running, waiting = office.push("a"), office.push("a")
    assert office.take() == running
    told = office.look()
    assert told == ["Waiting to be built: 1st in the queue, waiting for the project's limit of 1"]
    assert office.look() == told
    assert Build.get_by_id(waiting).told


def test_news_takes_the_place_of_what_was_not_told_yet(office: Office) -> None:
    first, second = office.push("a"), office.push("b")
    assert "2nd in the queue" in office.look()[1]
    assert office.take() == first
    told = office.look()
    assert told == [told[0], "Waiting to be built: 1st in the queue, waiting for a free worker"]
    OutboxEntry.update(state="sent").execute()
    assert office.take() == second
    assert office.look() == told


def test_whoever_waits_for_a_moment_only_is_told_nothing(office: Office) -> None:
    build_id = office.push("a")
    Build.update(created_at=now()).where(Build.id == build_id).execute()
    assert office.look() == []


def test_it_is_done_once_a_minute_by_whichever_worker(office: Office) -> None:
    office.push("a")
    assert len(office.look()) == 1
    OutboxEntry.delete().execute()
    office.push("b")
    office.explainer.look()
    assert OutboxEntry.select().count() == 0
    assert chores.last("explain-queue") is not None


def test_of_a_crowd_the_first_twenty_are_told_in_140_characters(office: Office) -> None:
    for number in range(30):
        office.push(f"{number:03}-{'x' * 80}")
    told = office.look()
    assert len(told) == 20
    assert max(map(len, told)) <= 140


def test_what_is_taken_up_meanwhile_is_told_nothing(office: Office) -> None:
    build_id = office.push("a")
    with office.database.write():
        assert builds.claim(build_id, "w:1")
        assert builds.tell(build_id, "1st in the queue", now()) == ""
    assert outbox.next_due() is None
