"""What is given up by our fault can be looked at, and tried again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest

from bot.control import Control
from bot.dead_letters import DeadLetters, retry_deliveries
from bot.errors import SystemFault, UserError
from bot.events import Bus
from bot.models import builds, dead_letters, deployments, inbox, outbox, projects
from bot.models.database import Database
from bot.models.dead_letters import Kind
from bot.models.group_commit import GroupCommit
from bot.models.ids import now
from bot.models.status import BuildStatus, OutboxState
from bot.models.tables import AuditEntry, Build, Delivery, OutboxEntry
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.webhooks import events
from bot.webhooks.intake import Intake
from tests.webhooks.payloads import push

SHA = "b" * 40
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


class Morgue:
    """An intake that can be made to fail, and what is done about what failed."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.database = database
        self.woken: list[str] = []
        self.told = 0
        self.control = Control(
            settings,
            database,
            DiskStore(settings.DATA_DIR / "artifacts"),
            Bus(),
            wake=self.wake,
            expose=lambda _project_id: None,
            tell=self.tell,
        )
        self.intake = Intake(settings, GroupCommit(database), self.control.bus, self.wake)
        self.letters = DeadLetters(self.control)

    def wake(self, build_ids: Sequence[str]) -> None:
        self.woken.extend(build_ids)

    def tell(self) -> None:
        self.told += 1

    def receive(self, guid: str = GUID) -> Any:
        body = json.dumps(push()).encode()
        event = events.parse("push", "application/json", body)
        return self.intake.take(guid, "push", hashlib.sha256(body).hexdigest(), event)

    def fail_to_receive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("a defect of ours")

        with monkeypatch.context() as patched:
            patched.setattr(deployments, "request_build", broken)
            with pytest.raises(ZeroDivisionError):
                self.receive()

    def project(self) -> int:
        with self.database.write():
            return projects.connect_project(
                "octo/site", production_branch="main", private=False, installation_id=None
            )


@pytest.fixture
def morgue(settings: Settings, database: Database) -> Morgue:
    return Morgue(settings, database)


def test_a_delivery_that_fails_by_a_defect_is_kept_and_can_be_replayed(
    morgue: Morgue, monkeypatch: pytest.MonkeyPatch
) -> None:
    morgue.fail_to_receive(monkeypatch)
    (letter,) = dead_letters.listed(10)
    assert (letter.kind, letter.id, letter.what) == (Kind.DELIVERY, GUID, "push")
    assert letter.problem == "ZeroDivisionError: a defect of ours"
    assert Build.select().count() == 0
    assert morgue.letters.replay("ann", GUID) == "accepted"
    build = Build.get()
    assert (build.status, build.delivery) == ("queued", GUID)
    assert morgue.woken == [build.id]
    assert dead_letters.listed(10) == []
    assert [(e.actor, e.action, e.subject) for e in AuditEntry.select()] == [
        ("ann", "dead-letter.replay", GUID)
    ]


def test_a_failed_delivery_is_taken_in_when_github_sends_it_again(
    morgue: Morgue, monkeypatch: pytest.MonkeyPatch
) -> None:
    morgue.fail_to_receive(monkeypatch)
    assert morgue.receive().accepted
    assert "known already" in morgue.receive().reason
    assert Delivery.get().outcome == "accepted"


def test_failed_deliveries_are_tried_again_by_themselves_ever_more_seldom(
    morgue: Morgue, monkeypatch: pytest.MonkeyPatch
) -> None:
    morgue.fail_to_receive(monkeypatch)
    received = Delivery.get().received_at
    for attempts, minutes in ((1, 1), (2, 4), (3, 16)):
        Delivery.update(attempts=attempts).execute()
        assert inbox.due_again(received + minutes * 60_000 - 1) == []
        assert inbox.due_again(received + minutes * 60_000) == [GUID]
    Delivery.update(attempts=4).execute()
    assert inbox.due_again(received + 10**9) == []
    Delivery.update(attempts=1, received_at=now() - 61_000).execute()
    with monkeypatch.context() as patched:
        patched.setattr(deployments, "request_build", lambda *_, **__: 1 / 0)
        retry_deliveries(morgue.intake)
    assert (Delivery.get().outcome, Delivery.get().attempts) == ("failed", 2)
    Delivery.update(received_at=now() - 600_000).execute()
    retry_deliveries(morgue.intake)
    assert Delivery.get().outcome == "accepted"
    assert Build.select().count() == 1


def test_a_replay_that_fails_again_says_so_and_is_counted(
    morgue: Morgue, monkeypatch: pytest.MonkeyPatch
) -> None:
    morgue.fail_to_receive(monkeypatch)
    monkeypatch.setattr(deployments, "request_build", lambda *_, **__: 1 / 0)
    with pytest.raises(SystemFault, match="failed again"):
        morgue.letters.replay("ann", GUID)
    assert Delivery.get().attempts == 2
    assert AuditEntry.select().count() == 0


def test_a_delivery_that_was_ignored_can_be_replayed_once_its_reason_is_gone(
    morgue: Morgue, settings: Settings
) -> None:
    strict = replace(settings, ALLOWED_REPOSITORIES=("nobody/*",))
    intake = Intake(strict, GroupCommit(morgue.database), Bus(), morgue.wake)
    body = json.dumps(push()).encode()
    intake.take(GUID, "push", "x", events.parse("push", "application/json", body))
    assert Delivery.get().outcome == "ignored"
    assert morgue.letters.replay("ann", GUID) == "accepted"
    assert morgue.letters.replay("ann", GUID).startswith("accepted: this commit has a build")
    assert Build.select().count() == 1


def test_a_build_that_we_failed_is_built_again(morgue: Morgue) -> None:
    project_id = morgue.project()
    with morgue.database.write():
        asked = deployments.request_build(project_id, SHA, "main", "push", "production")
        builds.claim(asked.build_id, "w:1")
        builds.fail(asked.build_id, "w:1", BuildStatus.ERRORED, "store-fault", "Disk full.", {})
    (letter,) = dead_letters.listed(10, Kind.BUILD)
    assert (letter.id, letter.project, letter.problem) == (
        asked.build_id,
        "octo/site",
        "Disk full.",
    )
    outcome = morgue.letters.replay("ann", asked.build_id)
    assert outcome == f"queued again as {morgue.woken[0]}"
    assert dead_letters.listed(10) == []


def message(morgue: Morgue, project_id: int, key: str = "status:1:x") -> int:
    """A message to the code host that was given up."""
    with morgue.database.write():
        outbox.add(project_id, "status", key, {"sha": SHA})
        entry = outbox.claim_due(now() + 1)
        assert entry is not None
        outbox.end(entry, OutboxState.DEAD, now(), "403: Resource not accessible")
    return int(entry.id)


def test_what_github_would_not_be_told_is_told_again(morgue: Morgue) -> None:
    number = message(morgue, morgue.project())
    (letter,) = dead_letters.listed(10)
    assert (letter.id, letter.problem) == (f"msg-{number}", "403: Resource not accessible")
    assert dead_letters.counts() == {Kind.BUILD: 0, Kind.DELIVERY: 0, Kind.MESSAGE: 1}
    assert morgue.letters.replay("ann", letter.id) == "to be told again"
    entry = OutboxEntry.get()
    assert (entry.state, entry.attempts, morgue.told) == ("waiting", 0, 1)
    with pytest.raises(UserError, match="No such message"):
        morgue.letters.replay("ann", letter.id)


def test_what_something_newer_has_made_pointless_is_not_told_again(morgue: Morgue) -> None:
    project_id = morgue.project()
    number = message(morgue, project_id)
    with morgue.database.write():
        outbox.add(project_id, "status", "status:1:x", {"sha": SHA})
    assert dead_letters.listed(10) == []
    with pytest.raises(UserError, match="something newer"):
        morgue.letters.replay("ann", f"msg-{number}")


@pytest.mark.parametrize("letter_id", ["bld-none", "msg-1", "msg-x", "msg-" + "9" * 30, "none"])
def test_what_is_not_there_cannot_be_replayed(morgue: Morgue, letter_id: str) -> None:
    with pytest.raises(UserError) as caught:
        morgue.letters.replay("ann", letter_id)
    assert caught.value.code.endswith("-not-found")


@pytest.mark.parametrize("name", sorted(events._KEPT))
def test_every_event_that_is_kept_can_be_read_again(name: str) -> None:
    kind = events._KEPT[name]
    example: dict[str, Any] = {
        "str": "x",
        "bool": True,
        "int": 7,
        "int | None": None,
        "str | None": "y",
        "tuple[str, ...]": ("a", "b"),
    }
    event = kind(**{field.name: example[str(field.type)] for field in fields(kind)})
    assert events.restore(name, msgspec.json.encode(event).decode()) == event
