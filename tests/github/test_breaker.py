"""The circuit breaker: an outage is noticed once, and its end too."""

from __future__ import annotations

import time

import pytest
from github import GithubException
from responses import RequestsMock

from bot.github.breaker import Breaker, Outage
from bot.github.sender import Sender
from bot.models.tables import OutboxEntry
from tests.github.conftest import API, SHA, Desk, accept_all


def fails() -> None:
    raise ConnectionError("no way there")


def refuses() -> None:
    raise GithubException(404, {})


def test_after_so_many_failures_nothing_is_asked_any_more() -> None:
    trips: list[int] = []
    breaker = Breaker(failures=3, tripped=lambda: trips.append(1))
    for _ in range(3):
        with pytest.raises(ConnectionError):
            breaker.call(fails)
    asked: list[int] = []
    with pytest.raises(Outage):
        breaker.call(lambda: asked.append(1))
    assert (asked, trips) == ([], [1])


def test_refusals_are_no_outage() -> None:
    breaker = Breaker(failures=2)
    for _ in range(5):
        with pytest.raises(GithubException):
            breaker.call(refuses)
    breaker.call(lambda: None)


def test_one_success_ends_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = Breaker(failures=1, pause=0)
    with pytest.raises(ConnectionError):
        breaker.call(fails)
    asked: list[int] = []
    for _ in range(2):
        breaker.call(lambda: asked.append(1))
    assert asked == [1, 1]


def test_every_worker_learns_of_an_outage_from_the_first(redis_url: str) -> None:
    first, second = Breaker(redis_url, failures=2), Breaker(redis_url, failures=2)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            first.call(fails)
    with pytest.raises(Outage):
        second.call(lambda: None)


def test_a_redis_that_is_down_stops_nothing() -> None:
    breaker = Breaker("redis://127.0.0.1:1/0")
    asked: list[int] = []
    breaker.call(lambda: asked.append(1))
    assert asked == [1]


def test_entries_wait_out_an_outage_without_being_tried(desk: Desk, github: RequestsMock) -> None:
    desk.sender = Sender(
        desk.database, desk.sender._client, desk.settings, clock=lambda: desk.time,
        breaker=Breaker(failures=1, pause=30),
    )  # fmt: skip
    status = github.post(f"{API}/statuses/{SHA}", status=503, json={})
    other = "c" * 40
    desk.told(desk.request())
    desk.told(desk.request(sha=other))
    desk.keep("status")
    desk.deliver()
    assert status.call_count == 1
    held = OutboxEntry.get(OutboxEntry.payload.contains(other))
    assert (held.state, held.attempts) == ("waiting", 0)
    assert 29_000 < held.due_at - int(time.time() * 1000) < 33_000


def test_they_are_sent_when_it_is_over(desk: Desk, github: RequestsMock) -> None:
    desk.sender = Sender(
        desk.database, desk.sender._client, desk.settings, clock=lambda: desk.time,
        breaker=Breaker(failures=1, pause=0),
    )  # fmt: skip
    failing = github.post(f"{API}/statuses/{SHA}", status=503, json={})
    desk.told(desk.request())
    desk.keep("status")
    desk.deliver()
    github.remove(failing)
    accept_all(github)
    assert desk.deliver_later() is None
    assert desk.states("status") == ["sent"]
