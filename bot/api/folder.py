"""A folder on its way up: which files it has, and what each one's digest is.

Digests are kept in a cache by size, time and inode, as Git and rsync do it, so that a
second deployment reads only what changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import UserError
from bot.uploads.names import is_rubbish_part

# What is made again where it is built, and large.
_LEFT_OUT = {"node_modules", ".git", ".hg", ".svn", ".venv", "__pycache__", ".deploystack"}
# Its own list decides instead of Git's, where there is one at the top.
OWN_LIST, _GITS_LIST = ".deploystackignore", ".gitignore"
# Secrets of one machine, by the convention of Vite, Next.js and many others.
_OF_THIS_MACHINE = re.compile(r"\.env(\..+)?\.local")
# A file may change twice within what its time can tell apart: young ones are read again.
_YOUNG = 2_000_000_000  # ns
_UNKNOWN = "- "
_DIGEST = 64  # characters

# (how much of a path lies above the list, the list's patterns), outermost first.
Lists = tuple[tuple[int, Any], ...]


def scan(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file to send: its path with forward slashes, and what the system knows of it.

    Links are followed to files within the folder, and left out otherwise. What
    `.deploystackignore` at the top names is left out; without one, what the folder's
    `.gitignore` files name. Those above the folder do not count: `dist` can be deployed.
    """
    root = os.path.realpath(folder)
    list_name = OWN_LIST if os.path.isfile(f"{root}/{OWN_LIST}") else _GITS_LIST
    folders: list[tuple[str, str, Lists]] = [("", root, ())]
    while folders:
        prefix, path, lists = folders.pop()
        with os.scandir(path) as found:
            entries = list(found)
        has_list = list_name in [entry.name for entry in entries]
        if has_list and (list_name == _GITS_LIST or not prefix):
            lists = (*lists, (len(prefix), _patterns(f"{path}/{list_name}")))
        for entry in entries:
            leaf = entry.name
            name = prefix + leaf
            if leaf in _LEFT_OUT or is_rubbish_part(leaf):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not (lists and _is_listed(f"{name}/", lists)):
                    folders.append((f"{name}/", entry.path, lists))
            elif entry.is_file(follow_symlinks=False) or _leads_within(root, entry):
                local = leaf.startswith(".env") and _OF_THIS_MACHINE.fullmatch(leaf)
                if not local and not (lists and _is_listed(name, lists)):
                    yield name, entry


@dataclass(frozen=True, slots=True)
class Digests:
    """Path → SHA-256 of every file to send. `fresh`: those that were not there last time.

    `remember` writes the cache: it takes a while, and nothing waits for it.
    """

    files: dict[str, str]
    fresh: tuple[str, ...]
    remember: Callable[[], None] = lambda: None


def digests_of(folder: Path, cache: Path | None = None) -> Digests:
    """What a folder holds. Raises `UserError`: `folder-empty`.

    `cache` is a folder to keep digests in from one time to the next.
    """
    place = _place(folder, cache) if cache is not None else None
    known = _read(place) if place is not None else {}
    kept: dict[str, str] = {}
    found: dict[str, str] = {}
    before = time.time_ns() - _YOUNG
    for name, entry in scan(folder):
        about = entry.stat()
        changed, moved = about.st_mtime_ns, about.st_ctime_ns
        seen = f"{about.st_size} {changed} {moved} {about.st_ino} "
        row = known.get(name, "")
        digest = row[-_DIGEST:] if row[:-_DIGEST] == seen else _digest(entry.path)
        found[name] = digest
        kept[name] = (_UNKNOWN if changed >= before or moved >= before else seen) + digest
    if not found:
        raise UserError("folder-empty", f"There is nothing to deploy in {folder}.")
    old = {row[-_DIGEST:] for row in known.values()}
    fresh = tuple({d for d in found.values() if d not in old}) if old else ()
    if place is None or kept == known:
        return Digests(found, fresh)
    return Digests(found, fresh, lambda: _write(place, kept))


def _patterns(path: str) -> Any:
    """https://git-scm.com/docs/gitignore"""
    from pathspec import GitIgnoreSpec

    with open(path, encoding="utf-8", errors="replace") as file:
        return GitIgnoreSpec.from_lines(file)


def _is_listed(name: str, lists: Lists) -> bool:
    """Whether a path is to be left out: the nearest list that speaks of it decides."""
    for start, patterns in reversed(lists):
        decided = patterns.check_file(name[start:]).include
        if decided is not None:
            return bool(decided)
    return False


def _leads_within(root: str, entry: os.DirEntry[str]) -> bool:
    """Whether a link leads to a file of the folder."""
    if not entry.is_file():
        return False
    return os.path.commonpath([root, os.path.realpath(entry.path)]) == root


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(folder: Path, cache: Path) -> Path:
    name = hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()[:32]
    return cache / f"{name}.json"


def _read(place: Path) -> dict[str, str]:
    """Path → what the system said of the file, and its digest; a cache that cannot be read is
    none."""
    try:
        found: dict[str, str] = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or any(type(row) is not str for row in found.values()):
        return {}
    return found


def _write(place: Path, rows: dict[str, str]) -> None:
    """Keep the cache if that is possible: it only saves time."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=place.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(rows))  # `dump` would do it piece by piece, in Python
        os.replace(draft, place)
