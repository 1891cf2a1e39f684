"""`_redirects` and `_headers`, as Netlify and Cloudflare Pages read them.

https://docs.netlify.com/routing/redirects/ and https://docs.netlify.com/routing/headers/
https://developers.cloudflare.com/pages/configuration/redirects/
"""

from __future__ import annotations

import re

from bot.serve.rules.draft import LONGEST_LINE, Draft
from bot.serve.rules.pattern import netlify

_STATUS = re.compile(r"([0-9]{3})(!?)")
_CONDITIONS = {"country", "language", "role", "cookie"}


def read_redirects(text: str, draft: Draft, name: str = "_redirects") -> None:
    """`from [query…] to [status[!]] [conditions…]`, one a line; `#` begins a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}, line {number}"
        if len(line) > LONGEST_LINE:
            draft.warn(where, f"longer than {LONGEST_LINE} characters; left out")
            continue
        words = _words(line)
        if words:
            _read_redirect(words, draft, where)


def read_headers(text: str, draft: Draft, name: str = "_headers") -> None:
    """A path, and below it, indented, `Name: value` or `! Name`."""
    source, source_where = "", ""
    values: list[tuple[str, str, str | None]] = []
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}, line {number}"
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        if len(line) > LONGEST_LINE:
            draft.warn(where, f"longer than {LONGEST_LINE} characters; left out")
        elif not line[0].isspace() and content.startswith(("/", "http://", "https://")):
            if source:
                draft.header(source_where, netlify, source, values)
            source, source_where, values = content, where, []
        elif not source:
            draft.warn(where, "a header without a path above it; left out")
        elif content.startswith("!"):
            values.append((where, content[1:].strip(), None))
        else:
            header, colon, value = content.partition(":")
            if not colon:
                draft.warn(where, "expected `Name: value`; left out")
            else:
                values.append((where, header.strip(), value.strip()))
    if source:
        draft.header(source_where, netlify, source, values)


def _words(line: str) -> list[str]:
    words = []
    for word in line.split():
        if word.startswith("#"):
            break
        words.append(word)
    return words


def _read_redirect(words: list[str], draft: Draft, where: str) -> None:
    source, rest = words[0], words[1:]
    query = {}
    while rest and "=" in rest[0] and not rest[0].startswith(("/", "http://", "https://")):
        key, _, value = rest.pop(0).partition("=")
        query[key] = value
    if not rest:
        draft.warn(where, "expected `from to [status]`: there is no target; left out")
        return
    target, rest = rest[0], rest[1:]
    status, forced = 301, False
    if rest and (match := _STATUS.fullmatch(rest[0])):
        status, forced, rest = int(match[1]), bool(match[2]), rest[1:]
    conditions: dict[str, list[str]] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals or key.lower() not in _CONDITIONS:
            draft.warn(where, f"{word!r} is not understood; left out")
            return
        conditions[key.lower()] = [part for part in value.split(",") if part]
    for key in ("role", "cookie"):
        if key in conditions:
            draft.warn(where, f"the condition {key.title()} is not supported; left out")
            return
    draft.redirect(
        where,
        netlify,
        source,
        target,
        status,
        forced=forced,
        query=query,
        countries=conditions.get("country", ()),
        languages=conditions.get("language", ()),
    )
