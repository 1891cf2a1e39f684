"""What a build is given, and what it gives back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bot.builders.plan import Plan
from bot.builders.variables import NONE as NO_VARIABLES
from bot.builders.variables import Variables
from bot.project_name import part_of, repository_of
from bot.storage.manifest import Manifest


class Stage(StrEnum):
    """The stages that are timed; each build shows its seconds in each."""

    QUEUE = "queue"
    FETCH = "fetch"
    CHECKOUT = "checkout"
    INSTALL = "install"
    BUILD = "build"
    REUSE = "reuse"
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

    `part` is the project's name among several of one repository; empty: it is the main
    one, or the only one. `built` is the commit that its branch's page was made of, if there
    is one. `earlier` answers a live deployment of the same fingerprint
    (`bot.builders.unchanged`). `fresh`: nothing of earlier builds is to be used.
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
    built: str = ""
    earlier: Callable[[str], Earlier | None] = lambda _fingerprint: None
    fresh: bool = False

    @property
    def repository(self) -> str:
        """What is fetched: `owner/name`."""
        return repository_of(self.project)

    @property
    def part(self) -> str:
        return part_of(self.project)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A live deployment, its commit, and the versions of the tools that built it."""

    deployment_id: str
    sha: str
    tools: str


class BuildLog(Protocol):
    """Where a build's output goes. Bounded, and free of secrets, by its implementation."""

    def say(self, line: str) -> None:
        """One line of our own, ended for you."""

    def write(self, output: bytes) -> None:
        """Output of a command, as it comes."""


class Stopped(Exception):
    """The build is no longer wanted: superseded, cancelled, or handed to another worker."""


class Ignored(Exception):
    """The project's rules say that this commit is not built; the reason is for people."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """How a running build is led from outside.

    `entering` is called before each stage and raises `Stopped` when the build is no
    longer wanted; `cancelled` is set at the same moment to end a running command.
    `framework` is told what was detected, as soon as it is known, and `parts` which other
    projects the repository has.
    """

    log: BuildLog
    entering: Callable[[Stage], None]
    framework: Callable[[str], None]
    parts: Callable[[Sequence[str]], None] = lambda _names: None
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A published deployment, the seconds that each stage took, and what is amiss in it."""

    manifest: Manifest
    framework: str
    stages: dict[Stage, float]
    warnings: tuple[str, ...] = ()
    plan: Plan | None = None
    origin: Origin | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a deployment was made of. `tools` are programs with their versions.

    `tree` is Git's digest of the whole commit; `lockfile` is SHA-256. `fingerprint` is
    empty where the output may not serve for another commit; `reused` is the commit whose
    output it is, where nothing was built. Of an upload: `upload` is the SHA-256 of the archive,
    or of the list of its files (`bot.storage.checksums`); `repository` and `commit` are those of
    one that was fetched by its address.
    """

    tree: str = ""
    lockfile: str = ""
    tools: str = ""
    fingerprint: str = ""
    reused: str = ""
    upload: str = ""
    repository: str = ""
    commit: str = ""
