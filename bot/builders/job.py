"""What a build is given, and what it gives back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bot.builders.variables import NONE as NO_VARIABLES
from bot.builders.variables import Variables
from bot.storage.manifest import Manifest


class Stage(StrEnum):
    """The stages that are timed; each build shows its seconds in each."""

    QUEUE = "queue"
    FETCH = "fetch"
    CHECKOUT = "checkout"
    INSTALL = "install"
    BUILD = "build"
    PUBLISH = "publish"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One build's input. `project` is `owner/name`; `base_path` is where it will be served.

    `previous` is the id of an earlier deployment of the project, from which unchanged
    files need not be read again; empty: none.

    `trusted`: whether somebody who may write to the repository stands behind the code. What
    comes from a fork is not, though it was approved: it gets no `variables`, no token, and
    no network once it is installed. `pull_request` is the number that its commit is
    fetched by; 0: of none.
    """

    build_id: str
    deployment_id: str
    project: str
    sha: str
    ref: str
    environment: str
    base_path: str
    previous: str = ""
    private: bool = False
    trusted: bool = True
    pull_request: int = 0
    variables: Variables = NO_VARIABLES


class BuildLog(Protocol):
    """Where a build's output goes. Bounded, and free of secrets, by its implementation."""

    def say(self, line: str) -> None:
        """One line of our own, ended for you."""

    def write(self, output: bytes) -> None:
        """Output of a command, as it comes."""


class Stopped(Exception):
    """The build is no longer wanted: superseded, cancelled, or handed to another worker."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """How a running build is led from outside.

    `entering` is called before each stage and raises `Stopped` when the build is no
    longer wanted; `cancelled` is set at the same moment to end a running command.
    `framework` is told what was detected, as soon as it is known.
    """

    log: BuildLog
    entering: Callable[[Stage], None]
    framework: Callable[[str], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A published deployment, the seconds that each stage took, and what is amiss in it."""

    manifest: Manifest
    framework: str
    stages: dict[Stage, float]
    warnings: tuple[str, ...] = ()
