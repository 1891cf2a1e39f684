"""The parser: GitHub's payloads in, values out, and clear words for all else."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import urlencode

import pytest

from bot.webhooks import events
from bot.webhooks.events import BadDelivery, parse
from tests.webhooks import payloads
from tests.webhooks.payloads import A, B, encode

JSON = "application/json"


def test_a_push() -> None:
    repository = payloads.repository(pushed_at=1_700_000_000, private=True)
    body = payloads.push(repository=repository, installation={"id": 5})
    assert parse("push", JSON, encode(body)) == events.Push(
        repository="octo/site",
        private=True,
        default_branch="main",
        installation_id=5,
        ref="refs/heads/main",
        before=A,
        after=B,
        deleted=False,
        message="Change",
        moved_at=1_700_000_000_000,
    )


def test_a_pull_request() -> None:
    body = payloads.pull_request("synchronize", updated_at="2026-01-01T00:00:01Z")
    assert parse("pull_request", JSON, encode(body)) == events.PullRequest(
        repository="octo/site",
        private=False,
        default_branch="main",
        installation_id=None,
        action="synchronize",
        number=7,
        open=True,
        draft=False,
        head_sha=B,
        head_ref="topic",
        fork=False,
        moved_at=1_767_225_601_000,
    )


@pytest.mark.parametrize(
    ("head", "fork"), [("octo/site", False), ("Octo/Site", False), ("you/site", True), (None, True)]
)
def test_a_fork_is_a_head_in_another_repository_or_in_none(head: str | None, fork: bool) -> None:
    event = parse("pull_request", JSON, encode(payloads.pull_request(head=head)))
    assert isinstance(event, events.PullRequest)
    assert event.fork is fork


def test_deleted_branches_installations_and_pings() -> None:
    deleted = parse("delete", JSON, encode(payloads.delete()))
    assert isinstance(deleted, events.BranchDeleted)
    assert (deleted.ref, deleted.ref_type) == ("topic", "branch")
    installed = {"action": "suspend", "installation": {"id": 3}, "repositories": []}
    assert parse("installation", JSON, encode(installed)) == events.InstallationChanged(
        3, "suspend", ()
    )
    moved = {
        "action": "removed",
        "installation": {"id": 3},
        "repositories_added": [],
        "repositories_removed": [{"full_name": "octo/site"}],
    }
    assert parse("installation_repositories", JSON, encode(moved)) == events.InstallationChanged(
        3, "removed", (), ("octo/site",)
    )
    assert parse("ping", JSON, b'{"zen": "Design for failure."}') == events.Ping()
    assert parse("star", JSON, b'{"action": "created"}') == events.Unknown("star")


def test_the_form_encoding_that_github_offers_too() -> None:
    form = urlencode({"payload": encode(payloads.push()).decode()}).encode()
    event = parse("push", "application/x-www-form-urlencoded", form)
    assert isinstance(event, events.Push)


def test_emoji_and_other_text_beyond_ascii() -> None:
    body = payloads.push(head_commit={"message": "Größe 🚀"})
    event = parse("push", JSON, encode(body))
    assert isinstance(event, events.Push)
    assert event.message == "Größe 🚀"


@pytest.mark.parametrize(
    ("name", "content_type", "body", "code", "status"),
    [
        (None, JSON, b"{}", "missing-event", 400),
        ("push\n", JSON, b"{}", "missing-event", 400),
        ("push", JSON, b"", "not-json", 400),
        ("push", JSON, b"{", "not-json", 400),
        ("push", JSON, b'{"ref": "\xff"}', "not-json", 400),
        ("push", JSON, b"[]", "unexpected-payload", 400),
        ("star", JSON, b"[]", "unexpected-payload", 400),
        ("push", JSON, b"{}", "unexpected-payload", 400),
        ("push", "text/plain", b"{}", "unsupported-media-type", 415),
        ("push", None, b"{}", "unsupported-media-type", 415),
        ("push", "application/x-www-form-urlencoded", b"a=b", "not-a-form", 400),
        ("push", "application/x-www-form-urlencoded", b"\xff", "not-a-form", 400),
        ("push", "application/x-www-form-urlencoded", b"payload=%7B", "not-json", 400),
    ],
)
def test_what_github_never_sends(
    name: str | None, content_type: str | None, body: bytes, code: str, status: int
) -> None:
    with pytest.raises(BadDelivery) as caught:
        parse(name, content_type, body)
    assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"after": "abc"}, "$.after"),
        ({"after": B.upper()}, "$.after"),
        ({"after": 5}, "$.after"),
        ({"ref": "refs/heads/a..b"}, "$.ref"),
        ({"ref": "--upload-pack=x"}, "$.ref"),
        ({"ref": "refs/heads/a b"}, "$.ref"),
        ({"ref": "refs/heads/-x"}, "$.ref"),
        ({"ref": "refs/heads/.a"}, "$.ref"),
        ({"ref": "refs/heads/a/.b"}, "$.ref"),
        ({"ref": "refs/heads/a.lock"}, "$.ref"),
        ({"ref": "refs/heads/a.lock/b"}, "$.ref"),
        ({"ref": "refs/heads/a\n"}, "$.ref"),
        ({"ref": "/etc/passwd"}, "$.ref"),
        ({"after": B + "\n"}, "$.after"),
        ({"installation": {"id": 1 << 63}}, "$.installation.id"),
        ({"ref": "refs/heads/a\x00"}, "$.ref"),
        ({"repository": payloads.repository("octo")}, "$.repository.full_name"),
        ({"repository": payloads.repository("octo/..")}, "$.repository.full_name"),
        ({"repository": payloads.repository("../site")}, "$.repository.full_name"),
        ({"repository": payloads.repository("octo/a/b")}, "$.repository.full_name"),
        ({"repository": payloads.repository("-x/site")}, "$.repository.full_name"),
        ({"repository": payloads.repository("octo/site\n")}, "$.repository.full_name"),
        ({"repository": payloads.repository(pushed_at="soon")}, "repository.pushed_at"),
        ({"repository": payloads.repository(pushed_at=None)}, "repository.pushed_at"),
        (
            {"repository": payloads.repository(pushed_at="2026-01-01T00:00:00")},
            "repository.pushed_at",
        ),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(BadDelivery) as caught:
        parse("push", JSON, encode(payloads.push(**changes)))
    assert caught.value.code == "unexpected-payload"
    assert path in caught.value.message


def test_mutilated_payloads_are_refused_or_understood_but_never_crash() -> None:
    chance = random.Random(4)
    whole = encode(payloads.pull_request()) + encode(payloads.push())
    for _ in range(3000):
        start = chance.randrange(len(whole))
        body = bytearray(whole[start : start + chance.randrange(900)])
        for _ in range(chance.randrange(4)):
            if body:
                body[chance.randrange(len(body))] = chance.randrange(256)
        name = chance.choice(["push", "pull_request", "delete", "installation", "ping", "x"])
        try:
            parse(name, JSON, bytes(body))
        except BadDelivery as error:
            assert error.status == 400  # noqa: PT017 (not raising is right, too)


@pytest.mark.parametrize("guid", [None, "", "short", "a" * 65, "no spaces allowed", "é" * 10])
def test_a_delivery_needs_its_guid(guid: str | None) -> None:
    with pytest.raises(BadDelivery, match="X-GitHub-Delivery"):
        events.guid(guid)
