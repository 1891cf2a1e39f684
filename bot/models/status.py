"""The states of builds, deployments and outbox entries, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class BuildStatus(StrEnum):
    QUEUED = "queued"
    CLONING = "cloning"
    BUILDING = "building"
    PUBLISHING = "publishing"
    READY = "ready"
    FAILED = "failed"  # the user's to mend
    ERRORED = "errored"  # ours
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    TIMED_OUT = "timed out"
    IGNORED = "ignored"  # the project's own rules say that this commit is not built


RUNNING = (BuildStatus.CLONING, BuildStatus.BUILDING, BuildStatus.PUBLISHING)
ACTIVE = (BuildStatus.QUEUED, *RUNNING)
ENDED = tuple(status for status in BuildStatus if status not in ACTIVE)


class DeploymentStatus(StrEnum):
    PENDING = "pending"  # a build of it is queued or running
    READY = "ready"
    FAILED = "failed"  # its newest build ended otherwise
    SKIPPED = "skipped"  # its commit message, or the project's rules, ask for no build
    DELETED = "deleted"
    EXPIRED = "expired"  # retention has taken it away; built again where a branch comes to it


GONE = (DeploymentStatus.DELETED, DeploymentStatus.EXPIRED)


class OutboxState(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    DROPPED = "dropped"  # a newer entry of the same key made it pointless
    DEAD = "dead"  # refused for good, or tried too often


class AliasKind(StrEnum):
    PRODUCTION = "production"
    BRANCH = "branch"
    PULL_REQUEST = "pull request"
    CUSTOM = "custom"  # set by hand, and moved by hand alone
