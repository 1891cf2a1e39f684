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
from bot.uploads.names import is_rubbish

# What is made again where it is built, and large.
_LEFT_OUT = {"node_modules", ".git", ".hg", ".svn", ".venv", "__pycache__", ".deploystack"}
# Its own list decides instead of Git's, where there is one at the top.
OWN_LIST, _GITS_LIST = ".deploystackignore", ".gitignore"
# Secrets of one machine, by the convention of Vite, Next.js and many others.
_OF_THIS_MACHINE = re.compile(r"\.env(\..+)?\.local")
# A file may change twice within what its time can tell apart: young ones are read again.
_YOUNG = 2_000_000_000  # ns
_UNKNOWN = [-1, 0, 0, 0]

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
        has_list = any(entry.name == list_name for entry in entries)
        if has_list and (list_name == _GITS_LIST or not prefix):
            lists = (*lists, (len(prefix), _patterns(f"{path}/{list_name}")))
        for entry in entries:
            name = prefix + entry.name
            if entry.name in _LEFT_OUT or is_rubbish(entry.name):
                continue
            if entry.is_symlink() and not _within(root, entry.path):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not (lists and _is_listed(f"{name}/", lists)):
                    folders.append((f"{name}/", entry.path, lists))
            elif entry.is_file():
                local = entry.name.startswith(".env") and _OF_THIS_MACHINE.fullmatch(entry.name)
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
    kept: dict[str, list[int | str]] = {}
    found: dict[str, str] = {}
    before = time.time_ns() - _YOUNG
    for name, entry in scan(folder):
        about = entry.stat()
        seen = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
        row = known.get(name)
        digest = str(row[4]) if row is not None and row[:4] == seen else _digest(entry.path)
        found[name] = digest
        if max(about.st_mtime_ns, about.st_ctime_ns) >= before:
            seen = _UNKNOWN
        kept[name] = [*seen, digest]
    if not found:
        raise UserError("folder-empty", f"There is nothing to deploy in {folder}.")
    old = {row[4] for row in known.values()}
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


def _within(root: str, path: str) -> bool:
    real = os.path.realpath(path)
    return os.path.isfile(real) and os.path.commonpath([root, real]) == root


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(folder: Path, cache: Path) -> Path:
    name = hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()[:32]
    return cache / f"{name}.json"


def _read(place: Path) -> dict[str, list[int | str]]:
    """What is cached; a cache that cannot be read is none."""
    try:
        found: dict[str, list[int | str]] = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    return {name: row for name, row in rows if isinstance(row, list) and len(row) == 5}


def _write(place: Path, rows: dict[str, list[int | str]]) -> None:
    """Keep the cache if that is possible: it only saves time."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=place.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(rows))  # `dump` would do it piece by piece, in Python
        os.replace(draft, place)
