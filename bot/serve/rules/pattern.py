"""Patterns of paths, as the different files write them, compiled to regular expressions.

Rules come from strangers, so a pattern may hold only one wildcard that is not a whole
segment: matching then takes time in proportion to the path's length, whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

# Longer paths match no pattern.
LONGEST_PATH = 2048
_SEGMENT = "[^/]+"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NETLIFY = re.compile(rf"/:(?P<name>{_NAME})(?=/|$)|(?P<splat>\*)")
_EXPRESS = re.compile(
    rf"(?P<slash>/?):(?P<name>{_NAME})(?P<inner>\([^()]*\))?(?P<repeat>[*+?]?)"
    r"|(?P<group>\([^()]*\))(?P<again>[*+?]?)"
)
_GLOB = re.compile(rf"/:(?P<name>{_NAME})(?=/|$)|(?P<wide>\*\*)|(?P<one>\*)")
_INNER = {".*", ".+", r"\d+", r"\d*", r"\w+", "[^/]+", "[^/]*", "[a-z0-9-]+", "[a-zA-Z0-9-]+"}
_WORDS = re.compile(r"[A-Za-z0-9_.|-]+")
# Not `?`, which begins the target's query.
_REFERENCE = re.compile(rf":({_NAME})[*+]?|\$([0-9]{{1,2}})")
# What may stand in an address as it is: RFC 3986, section 2.
_ADDRESS = "!#$%&'()*+,/:;=?@[]~-._"


class BadPattern(ValueError):
    """A pattern that is not understood, or could be abused; the message says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`literal` is the path where there is nothing to capture; else `expression` counts."""

    literal: str = ""
    expression: re.Pattern[str] | None = None

    def match(self, path: str) -> Mapping[str, str] | None:
        """What the placeholders stand for; `None`: no match. A last slash doesn't count."""
        if self.expression is None:
            return {} if bare(path) == self.literal else None
        if len(path) > LONGEST_PATH:
            return None
        found = self.expression.fullmatch(path)
        if found is None and path.endswith("/"):
            found = self.expression.fullmatch(path[:-1])
        if found is None:
            return None
        return {name: value or "" for name, value in found.groupdict().items()}


def netlify(source: str) -> Pattern:
    """`/news/:year/*`: placeholders are whole segments, one `*` captures as `:splat`.

    https://docs.netlify.com/routing/redirects/redirect-options/#splats
    """
    compiler = _Compiler()
    end = 0
    for found in _NETLIFY.finditer(source):
        text = source[end : found.start()]
        if found["name"]:
            compiler.literal(f"{text}/")
            compiler.capture(found["name"], _SEGMENT)
        elif source.endswith("/*") and found.end() == len(source):
            # `/news/*` means `/news` too.
            compiler.literal(text.removesuffix("/"))
            compiler.wide()
            compiler.capture("splat", ".*", slash=True)
        else:
            compiler.literal(text)
            compiler.wide()
            compiler.capture("splat", ".*")
        end = found.end()
    compiler.literal(source[end:])
    return compiler.pattern()


def express(source: str) -> Pattern:
    """`/blog/:slug`, `/docs/:path*`, `/(.*)`: as vercel.json has them.

    https://vercel.com/docs/project-configuration#redirects
    """
    compiler = _Compiler()
    end = number = 0
    for found in _EXPRESS.finditer(source):
        compiler.literal(source[end : found.start()])
        name, repeat = found["name"], found["repeat"] or found["again"] or ""
        inner = (found["inner"] or found["group"] or "")[1:-1]
        if not name:
            number += 1
            name = f"_{number}"
        slash = found["slash"] == "/"
        if repeat in {"*", "+"} and not found["group"]:
            compiler.wide()
            if slash and repeat == "+":
                compiler.literal("/")
            compiler.capture(name, f".{repeat}", slash=slash and repeat == "*")
        else:
            whole = slash and source[found.end() : found.end() + 1] in {"", "/"}
            expression = _inner(inner) if inner else _SEGMENT
            if not whole or "." in expression:
                compiler.wide()
            if slash and repeat != "?":
                compiler.literal("/")
            compiler.capture(name, expression, slash=slash and repeat == "?")
        end = found.end()
    compiler.literal(source[end:])
    return compiler.pattern()


def glob(source: str) -> Pattern:
    """`/app/**`, `/old/:id`: as serve.json has them. Wildcards capture as `:splat`.

    https://github.com/vercel/serve-handler#options
    """
    rooted = source if source.startswith("/") else f"/{source}"
    compiler = _Compiler()
    end = 0
    for found in _GLOB.finditer(rooted):
        compiler.literal(rooted[end : found.start()])
        if found["name"]:
            compiler.literal("/")
            compiler.capture(found["name"], _SEGMENT)
        else:
            compiler.wide()
            compiler.capture("splat", ".*" if found["wide"] else "[^/]*")
        end = found.end()
    compiler.literal(rooted[end:])
    return compiler.pattern()


def fill(target: str, values: Mapping[str, str]) -> str:
    """`target` with what its `:names` and `$1` stand for, fit to stand in a header."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or f"_{found[2]}"
        known = values.get(name)
        return found[0] if known is None else quote(known, safe="/!$'()*,:@~-._")

    return quote(_REFERENCE.sub(value, target), safe=_ADDRESS)


class _Compiler:
    """Builds one pattern, piece by piece."""

    def __init__(self) -> None:
        self._literals: list[str] = []
        self._expression: list[str] = []
        self._names: set[str] = set()
        self._wide = 0

    def literal(self, text: str) -> None:
        decoded = unquote(text)
        self._literals.append(decoded)
        self._expression.append(re.escape(decoded))

    def wide(self) -> None:
        """Count a wildcard that is not a whole segment."""
        self._wide += 1
        if self._wide > 1:
            raise BadPattern("it has more than one wildcard that is not a whole part of the path")

    def capture(self, name: str, expression: str, *, slash: bool = False) -> None:
        """`slash`: together with a slash before it, both may be missing."""
        if name in self._names:
            raise BadPattern(f"it has :{name} twice")
        self._names.add(name)
        group = f"(?P<{name}>{expression})"
        self._expression.append(f"(?:/{group})?" if slash else group)

    def pattern(self) -> Pattern:
        if not self._names:
            return Pattern(literal=bare("".join(self._literals)))
        return Pattern(expression=re.compile("".join(self._expression), re.DOTALL))


def _inner(text: str) -> str:
    """The few expressions in brackets that are understood, and nothing that backtracks."""
    if text in _INNER:
        return text
    if _WORDS.fullmatch(text):
        return "|".join(re.escape(word) for word in text.split("|"))
    raise BadPattern(f"the expression ({text}) is not understood")


def bare(path: str) -> str:
    """A path without its last slash, which makes no difference to rules."""
    return path[:-1] if path.endswith("/") and path != "/" else path
