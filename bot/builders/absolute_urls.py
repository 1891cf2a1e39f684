"""Addresses in a build's output that begin with / and miss the base path.

Below `/<sha>/` such a link leads out of the preview, and works only as long as the browser
says which page it comes from. It is looked for in HTML, style sheets and web manifests,
as text; scripts are left alone, where any text may begin with a slash.
https://html.spec.whatwg.org/multipage/indices.html#attributes-3
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bot.builders.job import BuildLog

_MENTIONED = 20
_LARGEST = 8 << 20  # bytes; no page that a person wrote is larger
_ATTRIBUTE = re.compile(
    rb"""(?i)\s(?:href|src|action|formaction|poster|data)\s*=\s*["']?(/(?!/)[^"'\s>]*)"""
)
_SOURCES = re.compile(rb"""(?i)\s(?:image)?srcset\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_STYLE = re.compile(rb"""(?i)(?:\burl\(\s*["']?|@import\s+["'])(/(?!/)[^"')\s]*)""")
_MANIFEST = re.compile(rb"""(?i)"(?:src|start_url|scope|url|action|id)"\s*:\s*"(/(?!/)[^"]*)""")
# What stands before each of them.
_MARKS = (
    *(b'="/', b"='/", b"=/", b'= "/', b"= '/", b"= /"),
    *(b"(/", b'("/', b"('/", b"( /", b'( "/', b"( '/"),
    *(b", /", b",/", b'import "/', b"import '/", b':"/', b': "/'),
)
_MARKS_BY_END = {
    end: tuple(mark for mark in _MARKS if mark.endswith(end))
    for end in dict.fromkeys(mark[-2:] for mark in _MARKS)
}


class AbsoluteUrls:
    """What was found in the files that passed; `texts` are for people, the first few."""

    def __init__(self, base: str) -> None:
        self._base = base.encode()
        self.texts: list[str] = []
        self.count = 0

    def look_at(self, path: str, content: bytes) -> None:
        """Look for them in one file, where the site lies below a path."""
        if self._base == b"/" or not _is_looked_at(path) or len(content) > _LARGEST:
            return
        # Most files have none, which plain searches tell ten times faster than patterns.
        if not _may_miss(content.replace(self._base, b"")):
            return
        for at, url in _urls(path, content):
            if _misses(url, self._base):
                self.count += 1
                if len(self.texts) < _MENTIONED:
                    line = content.count(b"\n", 0, at) + 1
                    self.texts.append(f"{path}, line {line}: {url.decode(errors='replace')[:200]}")

    def look_into(self, path: str, file: Path) -> None:
        """No page is as large as that."""

    def report(self, log: BuildLog) -> tuple[str, ...]:
        """Say what was found; answers the warnings, to be kept with the build."""
        if not self.count:
            return ()
        head = (
            f"Links that begin with / and miss the base path: {self.count}. They work only where "
            "the browser tells which page they come from: use relative ones, or the framework's "
            "own way to add the base path."
        )
        more = self.count - len(self.texts)
        warnings = (head, *self.texts, *([f"and {more} more"] if more else []))
        for warning in warnings:
            log.say(f"Warning: {warning}")
        return warnings


def _may_miss(content: bytes) -> bool:
    """Whether one of the marks is there. What two of its bytes rule out is looked for once."""
    return any(
        end in content and any(mark in content for mark in marks)
        for end, marks in _MARKS_BY_END.items()
    )


def _is_looked_at(path: str) -> bool:
    return path.endswith((".html", ".htm", ".css")) or _is_manifest(path)


def _is_manifest(path: str) -> bool:
    return path.endswith(".webmanifest") or path.rpartition("/")[2] == "manifest.json"


def _urls(path: str, content: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each address that begins with one / lies, and itself."""
    if _is_manifest(path):
        yield from ((found.start(1), found[1]) for found in _MANIFEST.finditer(content))
        return
    if not path.endswith(".css"):
        yield from ((found.start(1), found[1]) for found in _ATTRIBUTE.finditer(content))
        for found in _SOURCES.finditer(content):
            for candidate in (found[1] or found[2] or b"").split(b","):
                url = candidate.split()[:1]
                if url and url[0].startswith(b"/") and not url[0].startswith(b"//"):
                    yield found.start(), url[0]
    yield from ((found.start(1), found[1]) for found in _STYLE.finditer(content))


def _misses(url: bytes, base: bytes) -> bool:
    bare = base.rstrip(b"/")
    return not (url.startswith(base) or re.split(rb"[?#]", url, maxsplit=1)[0] == bare)
