"""Compiled rules: what serving asks, and nothing of how they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from bot.serve.negotiation import qualities
from bot.serve.rules.pattern import Pattern, bare, fill

Headers = list[tuple[str, str]]
REDIRECTS = frozenset({301, 302, 303, 307, 308})
STATUSES = REDIRECTS | {200, 404, 410}


@dataclass(frozen=True, slots=True)
class Asked:
    """What rules may look at of a request. `path` begins with a slash."""

    path: str
    query: str = ""
    country: str = ""
    accept_language: str = ""


@dataclass(frozen=True, slots=True)
class RedirectRule:
    """One line. `target` is a path within the site, or an address elsewhere.

    `forced`: even where there is a file. `query` maps names to values, or to `:names`
    that capture them.
    """

    pattern: Pattern
    target: str
    status: int
    forced: bool = False
    query: tuple[tuple[str, str], ...] = ()
    countries: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()

    @property
    def leaves(self) -> bool:
        """Whether it leads to another host."""
        return not self.target.startswith("/") or self.target.startswith("//")


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched: where to, how, and which request headers decided it."""

    target: str
    status: int
    leaves: bool
    vary: tuple[str, ...] = ()


class Redirects:
    """Rules in order; the first that matches counts. Paths without wildcards are looked up."""

    def __init__(self, rules: Sequence[RedirectRule] = ()) -> None:
        self._literal: dict[str, list[tuple[int, RedirectRule]]] = {}
        self._wild: list[tuple[int, RedirectRule]] = []
        self._languages = frozenset().union(*(rule.languages for rule in rules))
        for number, rule in enumerate(rules):
            if rule.pattern.expression is None:
                self._literal.setdefault(rule.pattern.literal, []).append((number, rule))
            else:
                self._wild.append((number, rule))
        self._size = len(rules)

    def __len__(self) -> int:
        return self._size

    def match(self, asked: Asked) -> Hit | None:
        best: tuple[int, Hit] | None = None
        for number, rule in self._literal.get(bare(asked.path), ()):
            hit = self._hit(rule, asked)
            if hit is not None:
                best = number, hit
                break
        for number, rule in self._wild:
            if best is not None and number > best[0]:
                break
            hit = self._hit(rule, asked)
            if hit is not None:
                return hit
        return best[1] if best is not None else None

    def _hit(self, rule: RedirectRule, asked: Asked) -> Hit | None:
        values = rule.pattern.match(asked.path)
        if values is None:
            return None
        vary = []
        if rule.countries:
            vary.append("CF-IPCountry")
            if asked.country.upper() not in rule.countries:
                return None
        if rule.languages:
            vary.append("Accept-Language")
            if preferred(asked.accept_language, self._languages) not in rule.languages:
                return None
        if rule.query:
            captured = _captured(rule.query, asked.query)
            if captured is None:
                return None
            values = {**values, **captured}
        target = fill(rule.target, values)
        if rule.status in REDIRECTS:
            if not rule.leaves and _path(target) == bare(asked.path):
                return None  # to itself, for ever; a last slash makes no difference
            if asked.query and not rule.query and "?" not in target:
                target = _with_query(target, asked.query)
        return Hit(target, rule.status, rule.leaves, tuple(vary))


def preferred(accept_language: str, offered: frozenset[str]) -> str:
    """Which of the languages that the site speaks the client likes best; empty: none."""
    weights = sorted(qualities(accept_language).items(), key=lambda item: -item[1])
    for language, liked in weights:
        for name in (language, language.partition("-")[0]):
            if liked > 0 and name in offered:
                return name
    return ""


def _captured(wanted: tuple[tuple[str, str], ...], query: str) -> Mapping[str, str] | None:
    given = dict(parse_qsl(query, keep_blank_values=True))
    values = {}
    for name, value in wanted:
        if name not in given:
            return None
        if value.startswith(":"):
            values[value[1:]] = given[name]
        elif value != given[name]:
            return None
    return values


def _path(target: str) -> str:
    return bare(unquote(target.partition("?")[0].partition("#")[0]))


def _with_query(target: str, query: str) -> str:
    address, hash_, fragment = target.partition("#")
    return f"{address}?{query}{hash_}{fragment}"


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """`values`: name → value; `None` takes a header away."""

    pattern: Pattern
    values: tuple[tuple[str, str | None], ...]


class HeaderRules:
    """Headers by pattern of path; all rules that match count, in order."""

    def __init__(self, rules: Sequence[HeaderRule] = ()) -> None:
        self._rules = rules

    def __len__(self) -> int:
        return len(self._rules)

    def apply(self, path: str, headers: Sequence[tuple[str, str]]) -> Headers:
        """`headers` with what the rules for `path` add, replace or take away."""
        if not self._rules:
            return list(headers)
        given: dict[str, tuple[str, list[str]]] = {}
        removed = set()
        for rule in self._rules:
            if rule.pattern.match(path) is None:
                continue
            for name, value in rule.values:
                if value is None:
                    removed.add(name.lower())
                    given.pop(name.lower(), None)
                else:
                    given.setdefault(name.lower(), (name, []))[1].append(value)
        kept = []
        for name, value in headers:
            lower = name.lower()
            if lower == "vary" and lower in given:
                given[lower][1].insert(0, value)  # ours is a fact, whatever the rules say
            elif lower not in removed and lower not in given:
                kept.append((name, value))
        return kept + [(name, ", ".join(values)) for name, values in given.values()]


@dataclass(frozen=True)
class Rules:
    """All that a project says. `None` in the switches: neither yes nor no, our own way.

    `forced` are the redirects that count before files. `sources` are the files that
    rules were read from, which are never served. `warnings` name file and line.
    """

    forced: Redirects = field(default_factory=Redirects)
    redirects: Redirects = field(default_factory=Redirects)
    headers: HeaderRules = field(default_factory=HeaderRules)
    clean_urls: bool | None = None
    trailing_slash: bool | None = None
    listing: bool = False
    spa: bool = False
    sources: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


NO_RULES = Rules()
