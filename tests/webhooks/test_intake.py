"""Deliveries over the WSGI callable: what is answered, recorded, told and woken."""

from __future__ import annotations

import copy
import io
import json
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from bot import events
from bot.events import Bus
from bot.models import builds
from bot.models.database import Database
from bot.models.status import BuildStatus
from bot.models.tables import Alias, Build, Delivery, Deployment, Project, PullRequest, Ref
from bot.secret import Secret
from bot.settings import Settings
from bot.webhooks.events import LARGEST_BODY
from bot.webhooks.routes import webhook_application
from bot.webhooks.signature import sign
from tests.webhooks import payloads
from tests.webhooks.payloads import ZEROS, A, B, C, encode


class Receiver:
    """The callable under test, with ears for what it tells."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.told: list[Any] = []
        self.woken: list[str] = []
        self.bus = bus = Bus()
        for kind in (
            events.DeploymentCreated,
            events.BuildCompleted,
            events.BuildFailed,
            events.CommitSkipped,
            events.PullRequestClosed,
        ):
            bus.subscribe(kind, self.told.append)
        self.secret: Secret = settings.GITHUB_WEBHOOK_SECRET[0]
        self.database = database
        self._application = webhook_application(settings, database, bus, self._wake)

    def _wake(self, build_ids: Sequence[str]) -> None:
        self.woken.extend(build_ids)

    def send(self, event: str, payload: Any, guid: str = "") -> tuple[int, dict[str, Any]]:
        body = payload if isinstance(payload, bytes) else encode(payload)
        return self.raw(
            body,
            HTTP_X_GITHUB_EVENT=event,
            HTTP_X_GITHUB_DELIVERY=guid or str(uuid.uuid4()),
            HTTP_X_HUB_SIGNATURE_256=sign(body, self.secret),
        )

    def raw(self, body: bytes, **environ: Any) -> tuple[int, dict[str, Any]]:
        answered: list[str] = []
        base = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        content = self._application(
            base | environ, lambda status, _headers: answered.append(status)
        )
        return int(answered[0].split()[0]), json.loads(b"".join(content))


@pytest.fixture
def receiver(settings: Settings, database: Database) -> Receiver:
    return Receiver(settings, database)


def finish(receiver: Receiver, build_id: str) -> None:
    """Let a worker bring a build to its good end."""
    with receiver.database.write():
        assert builds.claim(build_id, "worker")
        assert builds.succeed(build_id, "worker", {}, [])


def test_a_push_is_recorded_whole_and_queued_before_the_answer(receiver: Receiver) -> None:
    status, answer = receiver.send("push", payloads.push())
    assert (status, answer["outcome"]) == (202, "accepted")
    build = Build.get_by_id(answer["build_id"])
    assert build.status == BuildStatus.QUEUED
    assert build.deployment.sha == B
    assert build.deployment.environment == "production"
    assert answer["url"] == f"http://localhost:8000/{B}/"
    assert Ref.get().sha == B
    assert Delivery.get().outcome == "accepted"
    assert receiver.woken == [build.id]
    assert receiver.told == [events.DeploymentCreated(build.deployment_id, build.id)]


def test_a_second_delivery_with_the_same_guid_changes_nothing(receiver: Receiver) -> None:
    guid = str(uuid.uuid4())
    receiver.send("push", payloads.push(), guid)
    status, answer = receiver.send("push", payloads.push(after=C), guid)
    assert status == 200
    assert answer["reason"] == "this delivery is known already (accepted)"
    assert [row.sha for row in Deployment.select()] == [B]


def test_push_and_pull_request_of_one_commit_make_one_build(receiver: Receiver) -> None:
    push = payloads.push(ref="refs/heads/topic")
    for first, second in (
        (("push", push), ("pull_request", payloads.pull_request())),
        (
            ("pull_request", payloads.pull_request(number=8, sha=C, ref="other")),
            ("push", payloads.push(ref="refs/heads/other", after=C)),
        ),
    ):
        _, one = receiver.send(*first)
        _, other = receiver.send(*second)
        assert one["build_id"] == other["build_id"]
    assert Build.select().count() == 2


def test_a_push_that_arrives_late_rolls_nothing_back(receiver: Receiver) -> None:
    newer = payloads.push(after=C, repository=payloads.repository(pushed_at=2000))
    older = payloads.push(after=B, repository=payloads.repository(pushed_at=1000))
    receiver.send("push", newer)
    status, answer = receiver.send("push", older)
    assert (status, answer["reason"]) == (200, "something newer is known of this branch")
    assert Ref.get().sha == C
    assert Build.select().count() == 1


def test_two_pushes_in_one_second_are_ordered_by_what_they_start_from(receiver: Receiver) -> None:
    repository = payloads.repository(pushed_at=1000)
    receiver.send("push", payloads.push(before=ZEROS, after=A, repository=repository))
    receiver.send("push", payloads.push(before=A, after=B, repository=repository))
    assert Ref.get().sha == B
    receiver.send("push", payloads.push(before=ZEROS, after=A, repository=repository))
    assert Ref.get().sha == B


def test_a_newer_commit_supersedes_the_waiting_build_of_its_branch(receiver: Receiver) -> None:
    _, older = receiver.send("push", payloads.push())
    receiver.send("push", payloads.push(before=B, after=C))
    assert Build.get_by_id(older["build_id"]).status == BuildStatus.SUPERSEDED
    assert events.BuildFailed(older["deployment_id"], older["build_id"]) in receiver.told


def test_a_production_build_that_is_publishing_goes_on(receiver: Receiver) -> None:
    _, older = receiver.send("push", payloads.push())
    with receiver.database.write():
        builds.claim(older["build_id"], "worker")
        builds.advance(older["build_id"], "worker", BuildStatus.PUBLISHING)
    receiver.send("push", payloads.push(before=B, after=C))
    assert Build.get_by_id(older["build_id"]).status == BuildStatus.PUBLISHING


def test_a_commit_that_another_branch_points_at_is_not_superseded(receiver: Receiver) -> None:
    _, first = receiver.send("push", payloads.push(ref="refs/heads/one"))
    receiver.send("push", payloads.push(ref="refs/heads/two"))
    receiver.send("push", payloads.push(ref="refs/heads/one", before=B, after=C))
    assert Build.get_by_id(first["build_id"]).status == BuildStatus.QUEUED


def test_a_commit_that_is_live_is_told_again_and_not_built_again(receiver: Receiver) -> None:
    _, first = receiver.send("push", payloads.push(ref="refs/heads/topic"))
    finish(receiver, first["build_id"])
    receiver.told.clear()
    status, answer = receiver.send("push", payloads.push(ref="refs/heads/main"))
    assert (status, answer["reason"]) == (200, "this commit is live already")
    assert receiver.told == [events.BuildCompleted(first["deployment_id"], first["build_id"])]
    aliases = {(row.kind, row.name) for row in Alias.select()}
    assert {("branch", "topic"), ("branch", "main"), ("production", "production")} <= aliases


def test_a_failed_commit_is_not_built_again_by_its_pull_request(receiver: Receiver) -> None:
    _, first = receiver.send("push", payloads.push(ref="refs/heads/topic"))
    with receiver.database.write():
        builds.claim(first["build_id"], "worker")
        builds.fail(first["build_id"], "worker", BuildStatus.FAILED, "code", "why", {})
    _, answer = receiver.send("pull_request", payloads.pull_request())
    assert answer["build_id"] == first["build_id"]
    assert Build.select().count() == 1


def test_a_skipped_commit_is_not_built_by_its_pull_request_either(receiver: Receiver) -> None:
    skipped = payloads.push(ref="refs/heads/topic", head_commit={"message": "x [skip ci]"})
    _, answer = receiver.send("push", skipped)
    assert answer == {"outcome": "ignored", "reason": "the commit message says [skip ci]"}
    _, answer = receiver.send("pull_request", payloads.pull_request())
    assert answer["outcome"] == "ignored"
    assert Build.select().count() == 0


def test_a_skipped_commit_is_said_to_be(receiver: Receiver) -> None:
    skipped = payloads.push(ref="refs/heads/topic", head_commit={"message": "x [skip ci]"})
    receiver.send("push", skipped)
    assert receiver.told == [events.CommitSkipped(1, B)]
    receiver.send("push", payloads.push(ref="refs/heads/other", head_commit=skipped["head_commit"]))
    assert receiver.told == [events.CommitSkipped(1, B)]


def test_a_build_that_its_pull_request_asked_for_first_is_given_up(receiver: Receiver) -> None:
    _, opened = receiver.send("pull_request", payloads.pull_request())
    receiver.told.clear()
    skipped = payloads.push(ref="refs/heads/topic", head_commit={"message": "x [skip ci]"})
    receiver.send("push", skipped)
    build = Build.get_by_id(opened["build_id"])
    assert (build.status, build.error_message) == (
        BuildStatus.IGNORED,
        "the commit message says [skip ci].",
    )
    assert receiver.told == [events.BuildFailed(opened["deployment_id"], opened["build_id"])]
    _, again = receiver.send("pull_request", payloads.pull_request(action="reopened"))
    assert again["build_id"] == opened["build_id"]
    assert Build.select().count() == 1


def test_a_build_whose_branch_is_deleted_says_so(receiver: Receiver) -> None:
    _, pushed = receiver.send("push", payloads.push(ref="refs/heads/topic"))
    gone = payloads.push(ref="refs/heads/topic", before=B, after="0" * 40, deleted=True)
    receiver.send("push", gone)
    build = Build.get_by_id(pushed["build_id"])
    assert (build.status, build.error_message) == (
        BuildStatus.SUPERSEDED,
        "its branch was deleted",
    )


def test_a_skipped_push_leaves_the_build_before_it_alone(receiver: Receiver) -> None:
    _, first = receiver.send("push", payloads.push())
    skipped = payloads.push(before=B, after=C, head_commit={"message": "docs [skip ci]"})
    receiver.send("push", skipped)
    assert Build.get_by_id(first["build_id"]).status == BuildStatus.QUEUED
    finish(receiver, first["build_id"])
    receiver.send("push", payloads.push(before=C, after=B))
    assert {"production", "branch"} == {row.kind for row in Alias.select()}


def test_a_deleted_branch_ends_its_waiting_build_and_is_forgotten(receiver: Receiver) -> None:
    _, answer = receiver.send("push", payloads.push(ref="refs/heads/topic"))
    status, gone = receiver.send("delete", payloads.delete("topic"))
    assert (status, gone["reason"]) == (200, "the branch topic is gone")
    assert Ref.get().deleted
    assert Build.get_by_id(answer["build_id"]).status == BuildStatus.SUPERSEDED


def test_a_closed_pull_request_is_told_once(receiver: Receiver) -> None:
    receiver.send("pull_request", payloads.pull_request())
    closed = payloads.pull_request("closed", state="closed", updated_at="2026-01-01T11:00:00Z")
    receiver.send("pull_request", closed)
    pull_request = PullRequest.get()
    assert not pull_request.open
    assert receiver.told[-1] == events.PullRequestClosed(pull_request.id)
    late = payloads.pull_request("synchronize", sha=C, updated_at="2026-01-01T10:30:00Z")
    _, answer = receiver.send("pull_request", late)
    assert answer["reason"] == "something newer is known of this pull request"


def test_a_fork_is_remembered_but_not_built(receiver: Receiver) -> None:
    _, answer = receiver.send("pull_request", payloads.pull_request(head="stranger/site"))
    assert answer["outcome"] == "ignored"
    assert "approval" in answer["reason"]
    assert PullRequest.get().fork
    assert Build.select().count() == 0


def test_installations_change_the_state_of_their_projects(receiver: Receiver) -> None:
    receiver.send("push", payloads.push(installation={"id": 9}))
    for action, state in (
        ("suspend", "suspended"),
        ("unsuspend", "active"),
        ("deleted", "removed"),
    ):
        receiver.send("installation", {"action": action, "installation": {"id": 9}})
        assert Project.get().state == state
    added = {
        "action": "added",
        "installation": {"id": 10},
        "repositories_added": [{"full_name": "octo/site"}],
    }
    receiver.send("installation_repositories", added)
    assert (Project.get().installation_id, Project.get().state) == (10, "active")


def test_a_wrong_signature_gets_401_and_no_detail(receiver: Receiver) -> None:
    status, answer = receiver.raw(
        encode(payloads.push()), HTTP_X_HUB_SIGNATURE_256=sign(b"other", receiver.secret)
    )
    assert (status, answer) == (401, {"title": "Unauthorized", "status": 401})
    assert Delivery.select().count() == 0


def test_the_other_answers(receiver: Receiver) -> None:
    assert receiver.send("star", {})[0] == 200
    assert receiver.send("ping", {"zen": "x"})[1]["reason"] == "pong"
    assert receiver.send("push", b"[]")[0] == 400
    assert receiver.raw(b"", REQUEST_METHOD="GET")[0] == 405
    assert receiver.raw(b"{}", CONTENT_LENGTH=str(LARGEST_BODY + 1))[0] == 413
    assert receiver.raw(b"{}", CONTENT_LENGTH="many")[0] == 413
    assert receiver.raw(b"{}", CONTENT_LENGTH="10")[1]["code"] == "truncated-body"


def test_a_body_without_a_length_is_read_to_its_end_and_no_further_than_the_limit(
    receiver: Receiver,
) -> None:
    body = encode(payloads.push())
    headers = {
        "HTTP_X_GITHUB_EVENT": "push",
        "HTTP_X_GITHUB_DELIVERY": str(uuid.uuid4()),
        "HTTP_X_HUB_SIGNATURE_256": sign(body, receiver.secret),
    }
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    status, _ = receiver.raw(body, CONTENT_LENGTH="", **chunked, **headers)
    assert status == 202
    endless = io.BytesIO(bytes(LARGEST_BODY + 1))
    assert receiver.raw(b"", CONTENT_LENGTH="", **chunked, **{"wsgi.input": endless})[0] == 413
    status, answer = receiver.raw(body, CONTENT_LENGTH="", **headers)
    assert (status, answer["code"]) == (411, "length-required")


def test_what_reaches_the_production_branch_becomes_production(receiver: Receiver) -> None:
    receiver.send("push", payloads.push(ref="refs/heads/topic"))
    receiver.send("push", payloads.push(ref="refs/heads/main"))
    deployment = Deployment.get()
    assert (deployment.environment, deployment.ref) == ("production", "main")
    assert Build.select().count() == 1


def test_a_head_that_its_pull_request_leaves_behind_is_superseded(receiver: Receiver) -> None:
    _, older = receiver.send("pull_request", payloads.pull_request())
    newer = payloads.pull_request("synchronize", sha=C, updated_at="2026-01-01T10:00:09Z")
    receiver.send("pull_request", newer)
    assert Build.get_by_id(older["build_id"]).status == BuildStatus.SUPERSEDED


def test_a_push_supersedes_though_its_pull_request_is_told_later(receiver: Receiver) -> None:
    receiver.send("pull_request", payloads.pull_request())
    _, older = receiver.send("push", payloads.push(ref="refs/heads/topic"))
    receiver.send("push", payloads.push(ref="refs/heads/topic", before=B, after=C))
    assert Build.get_by_id(older["build_id"]).status == BuildStatus.SUPERSEDED


def test_a_closing_that_arrives_before_the_opening_is_not_undone_by_it(receiver: Receiver) -> None:
    receiver.send("push", payloads.push())
    closed = payloads.pull_request("closed", state="closed", updated_at="2026-01-01T11:00:00Z")
    receiver.send("pull_request", closed)
    receiver.send("pull_request", payloads.pull_request())
    assert not PullRequest.get().open


def test_a_fault_of_ours_is_told_as_such_and_leaves_the_delivery_alone(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_event: events.DeploymentCreated) -> None:
        raise RuntimeError("the disk is full")

    receiver.bus.subscribe(events.DeploymentCreated, fail)
    status, answer = receiver.send("push", payloads.push())
    assert (status, answer["code"]) == (500, "internal")
    assert "the disk is full" in caplog.text
    assert "disk" not in json.dumps(answer)
    assert Build.select().count() == Ref.select().count() == 0
    assert Delivery.get().outcome == "failed"
    assert receiver.woken == []


def test_damaged_deliveries_never_fail(receiver: Receiver) -> None:
    """Each field of each payload in turn is left out or replaced by something odd."""
    kinds: dict[str, Any] = {
        "push": payloads.push(installation={"id": 5}),
        "pull_request": payloads.pull_request(installation={"id": 5}),
        "delete": payloads.delete(),
        "installation": {
            "action": "created",
            "installation": {"id": 3},
            "repositories": [{"full_name": "octo/site"}],
        },
        "installation_repositories": {
            "action": "added",
            "installation": {"id": 3},
            "repositories_added": [{"full_name": "octo/site"}],
        },
    }
    odd = [
        None,
        True,
        -1,
        1 << 70,
        1.5,
        "",
        "\x00",
        "\ud83d\ude80",
        "a" * 5000,
        [],
        {},
        [[]],
        "9999",
    ]
    seen = set()
    for event, payload in kinds.items():
        for path in _paths(payload):
            for value in [*odd, None]:
                changed = copy.deepcopy(payload)
                place = changed
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
                seen.add(receiver.send(event, changed)[0])
            del place[path[-1]]
            seen.add(receiver.send(event, changed)[0])
    deep = b'{"a":' * 200_000
    assert {receiver.send(event, deep)[0] for event in (*kinds, "ping", "star")} == {400}
    assert seen == {200, 202, 400}


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, part in inner:
        found.append((*path, key))
        if isinstance(part, dict | list):
            found += _paths(part, (*path, key))
    return found


def test_many_deliveries_at_once_are_each_recorded_once(receiver: Receiver) -> None:
    def deliver(number: int) -> None:
        sha = f"{number:040x}"
        repository = payloads.repository(f"octo/r{number % 5}", pushed_at=1000 + number)
        for _ in range(2):
            receiver.send(
                "push", payloads.push(after=sha, repository=repository), f"guid-{number:08}"
            )

    threads = [threading.Thread(target=deliver, args=(n,)) for n in range(1, 41)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Delivery.select().count() == 40
    assert Project.select().count() == 5
    heads = {ref.project.name: int(ref.sha, 16) for ref in Ref.select()}
    assert heads == {f"octo/r{n % 5}": n for n in range(36, 41)}


def test_a_build_knows_the_delivery_that_asked_for_it(receiver: Receiver) -> None:
    receiver.send("push", payloads.push(), guid="the-guid-of-the-push")
    assert Build.get().delivery == "the-guid-of-the-push"
