"""What every kind of archive comes down to: entries, one after the other, and its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from bot.errors import UserError
from bot.settings import Settings

# Deflate reaches 1,032 to 1, real sites 10 to 1. Small archives may do as they like.
LARGEST_RATIO = 200
_UNSUSPICIOUS = 16 << 20  # bytes


class Kind(Enum):
    FILE = auto()
    FOLDER = auto()
    SYMBOLIC_LINK = auto()
    HARD_LINK = auto()
    SPECIAL = auto()  # devices, pipes, and whatever else is no file


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, its name as the archive has it.

    `link` is where a link leads. `content` is read in chunks, at most once, and before
    the next entry is asked for.
    """

    name: str
    kind: Kind
    executable: bool = False
    link: str = ""
    content: Callable[[], Iterator[bytes]] = lambda: iter(())


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveLimits:
    """The most that an archive may unpack to; sizes in bytes."""

    files: int
    file_size: int
    total_size: int


def limits_of(settings: Settings) -> ArchiveLimits:
    return ArchiveLimits(
        files=settings.MAX_FILES,
        file_size=settings.MAX_FILE_SIZE,
        total_size=settings.MAX_DEPLOYMENT_SIZE,
    )


class Budget:
    """Counts what comes out of an archive of `packed` bytes, and refuses what is too much."""

    def __init__(self, limits: ArchiveLimits, packed: int) -> None:
        self._limits = limits
        self._suspicious = max(_UNSUSPICIOUS, packed * LARGEST_RATIO)
        self._entries = 0
        self._total = 0

    @property
    def most_entries(self) -> int:
        """Folders count as well: each costs as much as a file."""
        return self._limits.files * 2

    def entry(self) -> None:
        self._entries += 1
        if self._entries > self.most_entries:
            raise self.too_many()

    def too_many(self) -> UserError:
        return UserError(
            "too-many-files",
            f"The archive has more than {self._limits.files} files.",
            "Leave out node_modules and whatever else is not needed. MAX_FILES is the "
            "operator's limit.",
        )

    def size(self, name: str, file_size: int, added: int) -> None:
        """`added` bytes more of a file that has `file_size` by now."""
        self._total += added
        if file_size > self._limits.file_size:
            raise UserError(
                "file-too-large",
                f"{name} is larger than {self._limits.file_size} bytes.",
                "Keep large files elsewhere. MAX_FILE_SIZE is the operator's limit.",
            )
        if self._total > self._limits.total_size:
            raise UserError(
                "deployment-too-large",
                f"The archive unpacks to more than {self._limits.total_size} bytes.",
                "MAX_DEPLOYMENT_SIZE is the operator's limit.",
            )
        self.expansion(self._total)

    def expansion(self, expanded: int) -> None:
        if expanded > self._suspicious:
            raise UserError(
                "archive-bomb",
                f"The archive unpacks to more than {LARGEST_RATIO} times its size.",
                "No site does. If yours is meant to, upload it in another form.",
            )


def damaged(reason: str) -> UserError:
    return UserError(
        "archive-damaged",
        f"The archive cannot be read to its end: {reason}.",
        "It may have been cut off on the way: pack and upload it again.",
    )
