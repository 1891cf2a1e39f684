"""Names within an archive: which are safe, which are rubbish, and which clash.

Pure functions and one small register; nothing here touches the disk.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from bot.errors import UserError

_DRIVE = re.compile(r"[A-Za-z]:")
# Linux takes no more for one part (NAME_MAX); the path leaves room for our own folders.
_LONGEST_PART = 255  # bytes
_LONGEST_PATH = 1024  # bytes
# Most names are like this, and a site has thousands of them.
_PLAIN_NAME = r"[\w-][\w.-]{0,63}(?:/[\w-][\w.-]{0,63}){0,9}"
_PLAIN = re.compile(_PLAIN_NAME, re.ASCII)
_PLAIN_LINES = re.compile(rf"{_PLAIN_NAME}(?:\n{_PLAIN_NAME})*+", re.ASCII)
# What systems leave behind in folders; nobody means to publish it.
_RUBBISH = {"__MACOSX", ".DS_Store", ".Spotlight-V100", ".Trashes", "Thumbs.db", "desktop.ini",
            ".git"}  # fmt: skip
_OTHER = re.compile(r"[^a-z0-9._-]+")
_SUFFIXES = (".zip", ".tgz", ".gz", ".zst", ".tar")
_LONGEST_NAME = 63  # characters of a project's name


def safe_path(name: str) -> str:
    """An entry's name as a relative path with forward slashes; empty for the root itself.

    Some Windows programs write backslashes between folders, so they count as slashes.
    Raises `UserError` for whatever could lead out of the tree or cannot be a name.
    https://cwe.mitre.org/data/definitions/22.html
    """
    if _PLAIN.fullmatch(name):
        return name
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or _DRIVE.match(path) or ".." in parts:
        raise UserError(
            "archive-unsafe-path",
            f"{shown(name)} leads out of the archive.",
            "Pack the folder's contents with relative names.",
        )
    try:
        length = len("/".join(parts).encode())
        longest = max((len(part.encode()) for part in parts), default=0)
    except UnicodeEncodeError:
        raise UserError(
            "archive-name-encoding",
            f"The name {shown(name)} is not UTF-8.",
            "Rename the file, or pack it with a program that writes UTF-8 names.",
        ) from None
    if any(character < " " or character == "\x7f" for character in name):
        raise UserError(
            "archive-unsafe-path", f"The name {shown(name)} has control characters in it."
        )
    if length > _LONGEST_PATH or longest > _LONGEST_PART:
        raise UserError("archive-name-too-long", f"The name {shown(name)} is too long.")
    return "/".join(parts)


def is_rubbish(path: str) -> bool:
    """Whether a path is dropped: what systems leave in folders, and Git's own folder."""
    return any(is_rubbish_part(part) for part in path.split("/"))


def is_rubbish_part(name: str) -> bool:
    """The same, of one part of a path."""
    return name in _RUBBISH or name.startswith("._")


def shown(name: str) -> str:
    """A name from outside, as it may appear in a message."""
    printable = name.encode("unicode_escape", "backslashreplace").decode()
    return printable if len(printable) <= 100 else f"{printable[:97]}…"


def are_plain(paths: Collection[str]) -> bool:
    """Whether names, each of them once, are harmless and apart on every file system.

    A look at them all at once; where it is not enough, `safe_path` and `Register` say more.
    """
    lines = "\n".join(paths)
    if lines.count("\n") != len(paths) - 1 or not _PLAIN_LINES.fullmatch(lines):
        return False
    folders = {path.rpartition("/")[0] for path in paths} - {""}
    for folder in list(folders):
        while (folder := folder.rpartition("/")[0]) and folder not in folders:
            folders.add(folder)
    lowered = {path.lower() for path in paths}
    above = {folder.lower() for folder in folders}
    return len(lowered) == len(paths) and len(above) == len(folders) and not lowered & above


class Register:
    """The names taken so far. Refuses what some file system could not keep apart."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {"": ""}
        self._taken = {""}  # folders, as they are written

    def add_file(self, path: str) -> None:
        """Take a name for a file (or link); raises `UserError`."""
        folder = path.rpartition("/")[0]
        if folder not in self._taken:
            self.add_folder(folder)
        key = _key(path)
        if key in self._folders or key in self._files:
            raise _clash(path, self._files.get(key) or self._folders[key])
        self._files[key] = path

    def add_folder(self, path: str) -> None:
        """Take a name, and all names above it, for folders; the same one again is no matter."""
        self._taken.add(path)
        while path:
            key = _key(path)
            if key in self._files:
                raise _clash(path, self._files[key])
            known = self._folders.get(key)
            if known == path:
                return  # and so are all above it
            if known is not None:
                raise _clash(path, known)
            self._folders[key] = path
            path = path.rpartition("/")[0]


def _key(path: str) -> str:
    """What Windows' and macOS' file systems compare: neither case nor composition counts."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _clash(path: str, known: str) -> UserError:
    if path == known:
        return UserError(
            "archive-duplicate-name", f"{shown(path)} is in the archive more than once."
        )
    return UserError(
        "archive-case-clash",
        f"{shown(path)} and {shown(known)} differ by case alone.",
        "Rename one of them: on many systems they are the same file.",
    )


def project_name(file_name: str) -> str:
    """`My Site.tar.gz` → `my-site`: where uploads go that name no project."""
    name = file_name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    while name.endswith(_SUFFIXES):
        name = name.rpartition(".")[0]
    return _OTHER.sub("-", name)[:_LONGEST_NAME].strip("-._") or "site"
