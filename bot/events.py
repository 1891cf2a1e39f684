"""What happened, told to whoever asked to know.

Handlers run at once, in the publisher's thread and inside its transaction, so a
state change and what must be told of it are recorded together or not at all.
An event carries ids; a handler reads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from blinker import Namespace


@dataclass(frozen=True, slots=True)
class DeploymentCreated:
    """A commit (or an upload) is to be deployed. `build_id` is the build that will make it."""

    deployment_id: str
    build_id: str


@dataclass(frozen=True, slots=True)
class BuildWaits:
    """The build has waited for a while; `text` says what it may expect."""

    deployment_id: str
    build_id: str
    text: str


@dataclass(frozen=True, slots=True)
class BuildStarted:
    deployment_id: str
    build_id: str


@dataclass(frozen=True, slots=True)
class BuildCompleted:
    """The deployment is live. Also published when a commit that is live is pushed again."""

    deployment_id: str
    build_id: str


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The build ended without a deployment: failed, errored, timed out, cancelled, superseded."""

    deployment_id: str
    build_id: str


@dataclass(frozen=True, slots=True)
class CommitSkipped:
    """A commit's own message asks for no build, and it has none."""

    project_id: int
    sha: str


@dataclass(frozen=True, slots=True)
class PullRequestClosed:
    pull_request_id: int


@dataclass(frozen=True, slots=True)
class ApprovalNeeded:
    """A pull request from a fork has a newest commit that nobody has approved (yet)."""

    pull_request_id: int


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """Somebody wants a fork's commit built; whether they may, the code host has to say."""

    approval_id: int


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    """What was asked for is granted or refused."""

    approval_id: int


@dataclass(frozen=True, slots=True)
class DeploymentServed:
    """Requests answered from a deployment, told in batches, after they were counted.

    `status` is the class: 2 for 200 to 299, and so on; `size` is of all bodies, in bytes.
    """

    deployment_id: str
    status: int
    size: int
    requests: int = 1


Event = (
    DeploymentCreated
    | BuildWaits
    | BuildStarted
    | BuildCompleted
    | BuildFailed
    | CommitSkipped
    | PullRequestClosed
    | ApprovalNeeded
    | ApprovalAsked
    | ApprovalDecided
    | DeploymentServed
)
EventT = TypeVar("EventT", bound=Event)


class Bus:
    """Subscriptions of one application."""

    def __init__(self) -> None:
        self._signals = Namespace()

    def subscribe(self, kind: type[EventT], handler: Callable[[EventT], None]) -> None:
        def receive(_sender: object, event: EventT) -> None:
            handler(event)

        self._signals.signal(kind.__name__).connect(receive, weak=False)

    def publish(self, event: Event) -> None:
        self._signals.signal(type(event).__name__).send(self, event=event)
