"""What an event comes to. One pure function: no I/O, no clock, no database."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from bot.webhooks.events import (
    BranchDeleted,
    Comment,
    Event,
    InstallationChanged,
    Ping,
    PullRequest,
    Push,
    RepositoryChanged,
    Unknown,
)

_BRANCH = "refs/heads/"
_SKIP = re.compile(r"\[(?:skip[ -](?:ci|deploy)|(?:ci|deploy)[ -]skip|no[ -]ci)\]", re.IGNORECASE)
# https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request
_HEAD_CHANGES = frozenset({"opened", "reopened", "synchronize", "ready_for_review"})
# `/deploy`, or `/deploy <sha>` with a whole SHA or the beginning of one.
_COMMAND = re.compile(r"/deploy(?:\s+([0-9a-f]{7,64}))?", re.IGNORECASE)
# https://docs.github.com/en/webhooks/webhook-events-and-payloads#installation
_INSTALLATION_CHANGES = frozenset(
    {"created", "deleted", "suspend", "unsuspend", "added", "removed"}
)
# https://docs.github.com/en/webhooks/webhook-events-and-payloads#repository
_REPOSITORY_CHANGES = frozenset(
    {
        "deleted",
        "archived",
        "unarchived",
        "renamed",
        "transferred",
        "privatized",
        "publicized",
        "edited",
    }
)


@dataclass(frozen=True, slots=True)
class Build:
    """Build the head of a branch."""

    branch: str
    sha: str
    before: str
    environment: str


@dataclass(frozen=True, slots=True)
class BuildPullRequest:
    """Build the head of a pull request of the repository itself."""


@dataclass(frozen=True, slots=True)
class NotePullRequest:
    """Remember a pull request without building it."""

    reason: str


@dataclass(frozen=True, slots=True)
class ApproveByLabel:
    """Ask whether whoever put the label on may have the fork's commit built."""


@dataclass(frozen=True, slots=True)
class ApproveByComment:
    """The same of a comment. `sha`: the commit that it names, or its beginning; else empty."""

    sha: str


@dataclass(frozen=True, slots=True)
class ClosePullRequest:
    pass


@dataclass(frozen=True, slots=True)
class Skip:
    """Remember that a commit asks for no build, whichever event names it next."""

    branch: str
    sha: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeleteBranch:
    branch: str


@dataclass(frozen=True, slots=True)
class ChangeInstallation:
    pass


@dataclass(frozen=True, slots=True)
class ChangeRepository:
    """Its projects are called otherwise, or have another state."""


@dataclass(frozen=True, slots=True)
class Ignore:
    reason: str


Decision = (
    Build
    | BuildPullRequest
    | NotePullRequest
    | ApproveByLabel
    | ApproveByComment
    | ClosePullRequest
    | Skip
    | DeleteBranch
    | ChangeInstallation
    | ChangeRepository
    | Ignore
)


def decide(event: Event, allows: Callable[[str], bool], label: str = "") -> Decision:
    """What to do about `event`.

    `allows` says whether a repository may be connected; `label` approves forks' commits
    (empty: none does).
    """
    match event:
        case Ping():
            return Ignore("pong")
        case Unknown(name):
            return Ignore(f"the event {name!r} is not listened to")
        case InstallationChanged(action=action):
            if action not in _INSTALLATION_CHANGES:
                return Ignore(f"an installation that is {action} changes nothing here")
            return ChangeInstallation()
        case RepositoryChanged(action=action):
            if action not in _REPOSITORY_CHANGES:
                return Ignore(f"a repository that is {action} changes nothing here")
            return ChangeRepository()
        case Push() | PullRequest() | Comment() | BranchDeleted() if not allows(event.repository):
            return Ignore(f"{event.repository} is not in ALLOWED_REPOSITORIES")
        case Push():
            return _decide_push(event)
        case PullRequest():
            return _decide_pull_request(event, label)
        case Comment():
            return _decide_comment(event)
        case BranchDeleted():
            if event.ref_type != "branch":
                return Ignore("tags are not deployed")
            return DeleteBranch(event.ref)


def _decide_push(push: Push) -> Decision:
    if not push.ref.startswith(_BRANCH):
        kind = "tags are not" if push.ref.startswith("refs/tags/") else "only branches are"
        return Ignore(f"{kind} deployed")
    branch = push.ref.removeprefix(_BRANCH)
    if push.deleted or not push.after.strip("0"):
        return DeleteBranch(branch)
    if push.before == push.after:
        return Ignore("the push moved nothing")
    if push.message is not None and (found := _SKIP.search(push.message)):
        reason = f"the commit message says {found[0]}"
        return Skip(branch, push.after, reason)
    environment = "production" if branch == push.default_branch else "preview"
    return Build(branch, push.after, push.before, environment)


def _decide_comment(comment: Comment) -> Decision:
    command = _COMMAND.fullmatch(comment.line)
    if comment.action != "created" or not comment.on_pull_request or command is None:
        return Ignore("only new comments on pull requests that begin with /deploy are obeyed")
    if not comment.author:
        return Ignore("the comment's author is gone")
    return ApproveByComment((command[1] or "").lower())


def _decide_pull_request(event: PullRequest, label: str) -> Decision:
    if event.action == "closed" or not event.open:
        return ClosePullRequest()
    labelled = event.action == "labeled" and bool(label) and event.label.lower() == label.lower()
    if labelled and event.fork:
        return ApproveByLabel() if event.actor else Ignore("nobody is said to have labelled it")
    if event.action not in _HEAD_CHANGES:
        return Ignore(f"a pull request that is {event.action} needs no build")
    if event.fork:
        return NotePullRequest("a pull request from a fork needs approval before it is built")
    # A draft is built like any other: its author wants to look at it most of all.
    return BuildPullRequest()
