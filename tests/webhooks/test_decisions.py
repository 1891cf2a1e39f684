"""What an event comes to, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.webhooks import decisions
from bot.webhooks.decisions import decide
from bot.webhooks.events import (
    BranchDeleted,
    Event,
    InstallationChanged,
    Ping,
    PullRequest,
    Push,
    Unknown,
)

A, B, ZEROS = "a" * 40, "b" * 40, "0" * 40
PUSH = Push("octo/site", False, "main", None, "refs/heads/topic", A, B, False, "Change", 1000)
PULL = PullRequest(
    "octo/site", False, "main", None, "opened", 7, True, False, B, "topic", False, 1000
)


def everybody(_repository: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("event", "decision"),
    [
        (PUSH, decisions.Build("topic", B, A, "preview")),
        (replace(PUSH, ref="refs/heads/main"), decisions.Build("main", B, A, "production")),
        (replace(PUSH, ref="refs/heads/a/b"), decisions.Build("a/b", B, A, "preview")),
        # A new branch without a commit of its own has a head to show all the same.
        (
            replace(PUSH, before=ZEROS, message=None),
            decisions.Build("topic", B, ZEROS, "preview"),
        ),
        (replace(PUSH, ref="refs/tags/v1"), decisions.Ignore("tags are not deployed")),
        (replace(PUSH, deleted=True, after=ZEROS), decisions.DeleteBranch("topic")),
        (replace(PUSH, after=ZEROS), decisions.DeleteBranch("topic")),
        (replace(PUSH, after=A), decisions.Ignore("the push moved nothing")),
        (PULL, decisions.BuildPullRequest()),
        (replace(PULL, action="reopened"), decisions.BuildPullRequest()),
        (replace(PULL, action="synchronize"), decisions.BuildPullRequest()),
        (replace(PULL, action="ready_for_review"), decisions.BuildPullRequest()),
        (replace(PULL, draft=True), decisions.BuildPullRequest()),
        (
            replace(PULL, action="labeled"),
            decisions.Ignore("a pull request that is labeled needs no build"),
        ),
        (replace(PULL, action="closed", open=False), decisions.ClosePullRequest()),
        # An event that was late: the pull request was closed meanwhile.
        (replace(PULL, action="synchronize", open=False), decisions.ClosePullRequest()),
        (
            replace(PULL, fork=True),
            decisions.NotePullRequest(
                "a pull request from a fork needs approval before it is built"
            ),
        ),
        (BranchDeleted("octo/site", "topic", "branch", 1), decisions.DeleteBranch("topic")),
        (BranchDeleted("octo/site", "v1", "tag", 1), decisions.Ignore("tags are not deployed")),
        (InstallationChanged(1, "created", ()), decisions.ChangeInstallation()),
        (
            InstallationChanged(1, "new_permissions_accepted", ()),
            decisions.Ignore(
                "an installation that is new_permissions_accepted changes nothing here"
            ),
        ),
        (Ping(), decisions.Ignore("pong")),
        (Unknown("star"), decisions.Ignore("the event 'star' is not listened to")),
    ],
)
def test_each_event_comes_to_one_decision(event: Event, decision: decisions.Decision) -> None:
    assert decide(event, everybody) == decision


@pytest.mark.parametrize(
    "message",
    ["[skip ci] x", "x [ci skip]", "x\n\n[skip deploy]", "[SKIP CI]", "[no ci]", "[deploy skip]"],
)
def test_a_commit_message_may_ask_for_no_build(message: str) -> None:
    decision = decide(replace(PUSH, message=message), everybody)
    assert isinstance(decision, decisions.Skip)


@pytest.mark.parametrize("message", ["skip ci", "[skipping ci]", "[skip] ci", "(skip ci)"])
def test_other_messages_do_not(message: str) -> None:
    assert isinstance(decide(replace(PUSH, message=message), everybody), decisions.Build)


@pytest.mark.parametrize("event", [PUSH, PULL, BranchDeleted("octo/site", "x", "branch", 1)])
def test_repositories_that_are_not_allowed_are_ignored(event: Event) -> None:
    decision = decide(event, lambda _repository: False)
    assert decision == decisions.Ignore("octo/site is not in ALLOWED_REPOSITORIES")
