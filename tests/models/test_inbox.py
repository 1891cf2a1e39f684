"""The inbox keeps each delivery once."""

from __future__ import annotations

from bot.models import inbox
from bot.models.database import Database


def test_a_delivery_is_remembered_once_with_what_became_of_it(database: Database) -> None:
    with database.write():
        assert inbox.remember("guid-1", "push", "digest", "{}")
        inbox.conclude("guid-1", "ignored", "pong")
        assert not inbox.remember("guid-1", "delete", "other", "[]")
        assert inbox.remember("guid-2", "push", "digest", "{}")
    first, second = inbox.find("guid-1"), inbox.find("guid-2")
    assert first is not None
    assert second is not None
    assert (first.event, first.digest, first.data) == ("push", "digest", "{}")
    assert (first.outcome, first.reason) == ("ignored", "pong")
    assert (second.outcome, second.reason) == ("accepted", "")
    assert inbox.find("guid-3") is None
