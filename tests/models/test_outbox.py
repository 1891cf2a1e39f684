"""The outbox: order within a key, leases, and what it costs a push."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.models import outbox, projects
from bot.models.database import Database
from bot.models.ids import now
from bot.models.status import OutboxState
from bot.models.tables import OutboxEntry


class Shelf:
    """A project's outbox."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.time = now() + 5_000  # everything that the test adds is due
        self.project_id = self.project("octo/site")

    def project(self, name: str) -> int:
        with self.database.write():
            return projects.connect_project(
                name, production_branch="main", private=False, installation_id=None
            )

    def add(self, key: str, text: str = "", kind: str = "status", **options: Any) -> None:
        with self.database.write():
            outbox.add(self.project_id, kind, key, {"text": text}, **options)

    def claim(self, ahead: int = 0) -> OutboxEntry | None:
        with self.database.write():
            return outbox.claim_due(self.time + ahead)

    def take(self, ahead: int = 0) -> OutboxEntry:
        entry = self.claim(ahead)
        assert entry is not None
        return entry

    def end(self, entry: OutboxEntry, state: OutboxState = OutboxState.SENT) -> None:
        with self.database.write():
            outbox.end(entry, state, self.time)


@pytest.fixture
def shelf(database: Database) -> Shelf:
    return Shelf(database)


def text(entry: OutboxEntry) -> str:
    return str(json.loads(entry.payload)["text"])


def test_entries_of_a_key_come_out_one_after_the_other(shelf: Shelf) -> None:
    shelf.add("a", "first")
    shelf.add("a", "second")
    first = shelf.take()
    assert text(first) == "first"
    assert shelf.claim() is None
    shelf.end(first)
    assert text(shelf.take()) == "second"


@pytest.mark.parametrize("state", [OutboxState.SENT, OutboxState.DROPPED, OutboxState.DEAD])
def test_whatever_an_entry_came_to_the_next_of_its_key_may_follow(
    shelf: Shelf, state: OutboxState
) -> None:
    shelf.add("a")
    shelf.add("a", "second")
    shelf.end(shelf.take(), state)
    assert text(shelf.take()) == "second"
    assert OutboxEntry.get().state == state


def test_keys_do_not_wait_for_one_another(shelf: Shelf) -> None:
    shelf.add("a")
    shelf.add("b")
    assert [shelf.take().key, shelf.take().key] == ["a", "b"]
    assert shelf.claim() is None


def test_a_postponed_entry_blocks_its_key_alone_and_is_due_at_its_time(shelf: Shelf) -> None:
    shelf.add("a", "first")
    shelf.add("a", "second")
    shelf.add("b")
    due = shelf.time + 5_000
    entry = shelf.take()
    with shelf.database.write():
        outbox.postpone(entry, due, "why")
    assert shelf.take().key == "b"
    assert shelf.claim() is None
    # What the postponed one blocks is not due, though its own time has come.
    assert outbox.next_due() == due
    again = shelf.take(5_000)
    assert (text(again), again.attempts, again.last_error) == ("first", 2, "why")


def test_statuses_come_before_comments_and_comments_before_deployments(shelf: Shelf) -> None:
    for kind in ("deployment", "comment", "status"):
        shelf.add(kind, kind=kind)
    assert [shelf.take().kind for _ in range(3)] == ["status", "comment", "deployment"]


def test_an_entry_waits_for_its_delay(shelf: Shelf) -> None:
    shelf.add("a", delay=60_000)
    assert shelf.claim(50_000) is None
    assert shelf.claim(61_000) is not None


def test_a_held_entry_is_free_again_when_its_lease_has_ended(shelf: Shelf) -> None:
    shelf.add("a")
    first = shelf.take()
    assert shelf.claim(outbox.LEASE) is None
    second = shelf.take(outbox.LEASE + 1)
    assert (second.id, second.attempts) == (first.id, 2)


def test_a_renewed_lease_holds_on(shelf: Shelf) -> None:
    shelf.add("a")
    entry = shelf.take()
    with shelf.database.write():
        assert outbox.renew(entry, shelf.time + 60_000)
    assert shelf.claim(outbox.LEASE + 1) is None


def test_who_was_too_slow_changes_nothing_any_more(shelf: Shelf) -> None:
    shelf.add("a")
    slow = shelf.take()
    quick = shelf.take(outbox.LEASE + 1)
    with shelf.database.write():
        assert not outbox.renew(slow, shelf.time)
        outbox.end(slow, OutboxState.DEAD, shelf.time)
        outbox.postpone(slow, 0, "late")
        outbox.defer(slow, 0)
    found = OutboxEntry.get()
    assert (found.state, found.attempts) == (OutboxState.SENDING, 2)
    shelf.end(quick)
    assert OutboxEntry.get().state == OutboxState.SENT


def test_a_deferred_entry_was_not_tried(shelf: Shelf) -> None:
    shelf.add("a")
    entry = shelf.take()
    with shelf.database.write():
        outbox.defer(entry, shelf.time + 1_000)
    assert not outbox.tried_before(shelf.take(1_000))


def test_replacing_takes_the_place_of_what_is_unsent(shelf: Shelf) -> None:
    shelf.add("a", "old", kind="comment", delay=60_000)
    shelf.add("b", "other", kind="comment")
    shelf.add("a", "new", kind="comment", replace=True)
    assert sorted(text(shelf.take()) for _ in range(2)) == ["new", "other"]
    assert OutboxEntry.select().count() == 2


def test_what_is_being_sent_is_not_replaced_but_followed(shelf: Shelf) -> None:
    shelf.add("a", "old", kind="comment")
    old = shelf.take()
    shelf.add("a", "new", kind="comment", replace=True)
    shelf.add("a", "newest", kind="comment", replace=True)
    assert text(old) == "old"
    assert outbox.following(old) == '{"text":"newest"}'
    shelf.end(old)
    new = shelf.take()
    assert text(new) == "newest"
    assert outbox.following(new) is None
    assert outbox.tried_before(new)


def test_what_was_sent_is_not_replaced(shelf: Shelf) -> None:
    shelf.add("a", "old", kind="comment")
    shelf.end(shelf.take())
    shelf.add("a", "new", kind="comment", replace=True)
    assert [entry.state for entry in OutboxEntry.select()] == ["sent", "waiting"]


def test_what_was_written_is_counted_by_owner_and_time(shelf: Shelf) -> None:
    shelf.add("old")
    shelf.end(shelf.take())
    shelf.time += 10_000
    shelf.add("new", kind="comment")
    shelf.end(shelf.take())
    shelf.add("dropped")
    shelf.end(shelf.take(), OutboxState.DROPPED)
    shelf.project_id = shelf.project("octopus/site")
    shelf.add("elsewhere")
    shelf.end(shelf.take())
    shelf.add("self")
    entry = shelf.take()
    everything = outbox.written_since(shelf.time - 20_000, "", entry)
    assert [kind for kind, _ in everything] == ["status", "comment", "status"]
    recent = outbox.written_since(shelf.time - 5_000, "", entry)
    assert recent == [("comment", shelf.time), ("status", shelf.time)]
    assert outbox.written_since(shelf.time - 5_000, "octo/", entry) == [("comment", shelf.time)]


def test_nothing_waits_in_an_empty_outbox(shelf: Shelf) -> None:
    assert shelf.claim() is None
    assert outbox.next_due() is None


def test_what_a_push_adds_and_a_sender_looks_for_is_found_by_an_index(shelf: Shelf) -> None:
    """Else a long outage would slow every push down."""
    shelf.add("a")
    for statement in (outbox._REPLACE, outbox._CLAIMABLE, outbox._NEXT, outbox._TRIED):
        plan = shelf.database.execute_sql(
            f"EXPLAIN QUERY PLAN {statement}", ("0",) * statement.count("?")
        ).fetchall()
        assert not [row[3] for row in plan if row[3].startswith("SCAN")], statement
