"""Which pushes need no build: the rules of `[ignore]` in deploystack.toml.

It is not in charge of what a commit is compared with: the caller names the commit that
the branch's page was made of. https://git-scm.com/docs/gitignore is whose patterns these are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from bot.builders.git_tree import GitTree


def changed_paths(earlier: GitTree, now: GitTree) -> list[str]:
    """What differs between two commits: added, removed and changed files, sorted."""
    before, after = _contents(earlier), _contents(now)
    different = before.keys() ^ after.keys()
    different |= {path for path in before.keys() & after.keys() if before[path] != after[path]}
    return sorted(different)


def all_ignored(paths: Iterable[str], patterns: Sequence[str]) -> bool:
    """Whether the patterns name every one of the paths."""
    return all(is_ignored(path, patterns) for path in paths)


def is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether the last pattern that fits a path names it, rather than takes it out (`!`)."""
    for pattern in reversed(patterns):
        if _compiled(pattern.removeprefix("!")).fullmatch(path):
            return not pattern.startswith("!")
    return False


def _contents(tree: GitTree) -> dict[str, str]:
    links = {path: blob.object_id for path, blob in tree.links.items()}
    files = {path: blob.object_id for path, blob in tree.files.items()}
    return {**files, **links, **tree.submodules}


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern with a slash before its end begins at the top; one without, anywhere."""
    inner = pattern.strip("/")
    if inner == "**":
        return re.compile(".*", re.DOTALL)
    only_below = pattern.endswith(("/", "/**"))
    anywhere = "/" not in inner and not pattern.startswith("/")
    text = "".join(_segment(part) for part in inner.removesuffix("/**").split("/"))
    prefix = "(?:.*/)?" if anywhere else ""
    return re.compile(
        prefix + text.removesuffix("/") + ("/.*" if only_below else "(?:/.*)?"), re.DOTALL
    )


def _segment(part: str) -> str:
    """One part of a pattern, with the slash behind it."""
    if part == "**":
        return "(?:.*/)?"
    text = ""
    for piece in re.findall(r"\*+|\?|\[!?[^\]]+\]|.", part, re.DOTALL):
        if piece.startswith("*"):
            text += "[^/]*"
        elif piece == "?":
            text += "[^/]"
        elif len(piece) > 1:
            text += f"[^{re.escape(piece[2:-1])}]" if piece[1] == "!" else piece
        else:
            text += re.escape(piece)
    return text + "/"
