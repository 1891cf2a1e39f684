"""The seam between what is published and where it is kept.

Order of calls: store every file, then `publish` the manifest. Files are immutable
and shared between deployments; storing one that is there costs nothing more.
All methods may be called from many threads and processes at once, and a call
that failed or was killed leaves nothing that a reader could see.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from bot.errors import DeployStackError, SystemFault
from bot.storage.manifest import Manifest


class NotPublished(DeployStackError):
    """There is no such deployment in the store."""

    def __init__(self, deployment_id: str) -> None:
        super().__init__("not-published", f"Deployment {deployment_id} is not in the store.")


class StoreFault(SystemFault):
    """The store cannot be read or written."""

    def __init__(self, message: str) -> None:
        super().__init__("store-fault", message)


@dataclass(frozen=True, slots=True)
class Content:
    """A stored content: size in bytes, and how long nobody has stored it again, in seconds."""

    digest: str
    size: int
    age: float


class Store(Protocol):
    def batch(self) -> AbstractContextManager[None]:
        """Contents that this thread stores inside may be stored beside one another.

        They need not be there before the block ends without an error, and files must stay
        where they are until then. Raises what storing any of them raised.
        """

    def expect(self, deployment_id: str) -> None:
        """Contents that this deployment has are about to be stored, or asked for, again.

        Empty, or one that is not there: nothing is expected. May be left out: it saves a
        store that is far away from being asked for each.
        """

    def put_file(self, path: Path, known: tuple[str, int] | None = None) -> tuple[str, int]:
        """Store a regular file; answers (SHA-256 in hex, size in bytes).

        `known` is that answer where the caller has just read the file.

        The file may be linked in rather than copied, and becomes read-only: nobody
        may write to it afterwards.
        """

    def put_bytes(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Store what the chunks make together; answers (SHA-256 in hex, size in bytes)."""

    def open(self, digest: str) -> BinaryIO:
        """The content, for reading; raises `FileNotFoundError`."""

    def size(self, digest: str) -> int | None:
        """The size of a content in bytes; `None`: it is not there."""

    def missing(self, digests: Collection[str]) -> list[str]:
        """Those whose contents are not there, in their order; the others stay for a while."""

    def flush(self, digests: Collection[str]) -> None:
        """Make these contents durable, whichever process stored them, and stay for a while.

        Those that this process did not store must have been asked for before.
        """

    def publish(self, manifest: Manifest) -> None:
        """Make a deployment visible, all at once. Replaces an earlier one of the same id.

        Raises `StoreFault` where one of its contents is not there (any more).
        """

    def manifest(self, deployment_id: str) -> Manifest:
        """Raises `NotPublished`."""

    def known_manifest(self, deployment_id: str) -> Manifest:
        """The same for pages, out of a cache where there is one: as of a moment ago.

        Not for deciding what may be deleted. Raises `NotPublished`.
        """

    def lay_out(self, manifest: Manifest) -> None:
        """Make the deployment's tree, for front servers that read files themselves.

        Not for deployments that need a password: front servers ask nobody.
        """

    def hide(self, deployment_id: str) -> None:
        """Keep front servers from serving a deployment by themselves. Its tree may stay."""

    def delete(self, deployment_id: str) -> None:
        """Take a deployment away. Contents that others may share stay."""

    def deployments(self) -> Iterator[tuple[str, str, float]]:
        """Every deployment's id, version and age (s); the version changes with its manifest."""

    def contents(self) -> Iterator[Content]:
        """Every content, in no special order; some of what comes and goes meanwhile."""

    def sweeping(self) -> AbstractContextManager[Callable[[Sequence[Content]], int]]:
        """While nobody can publish. Gives what deletes contents, and answers the bytes freed.

        It must not be held for longer than a minute. A content that was stored again
        meanwhile stays. Raises `StoreFault` where publishings leave no room for it.
        """

    def tidy(self) -> None:
        """Remove what killed processes left half-done, a day ago or longer."""
