"""Rules while they are being read: collected, checked, limited, and complained about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bot.serve.rules.model import (
    STATUSES,
    HeaderRule,
    HeaderRules,
    RedirectRule,
    Redirects,
    Rules,
)
from bot.serve.rules.pattern import BadPattern, Pattern

# Of one deployment, all files together.
MOST_REDIRECTS = 2000
MOST_WILD_REDIRECTS = 500
MOST_HEADER_RULES = 300
LONGEST_LINE = 2000  # characters
MOST_WARNINGS = 50
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# What the server itself says, and what would reach beyond the one deployment: cookies,
# storage, service workers and policies count for a whole host, which previews may share.
_OURS = frozenset(
    {
        "accept-ranges",
        "age",
        "allow",
        "alt-svc",
        "clear-site-data",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "date",
        "etag",
        "expect",
        "host",
        "keep-alive",
        "last-modified",
        "location",
        "nel",
        "proxy-authenticate",
        "report-to",
        "reporting-endpoints",
        "server",
        "service-worker-allowed",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        # These are orders to a front server: they could have it send any file it can reach.
        "x-accel-buffering",
        "x-accel-charset",
        "x-accel-expires",
        "x-accel-limit-rate",
        "x-accel-redirect",
        "x-sendfile",
    }
)


@dataclass
class Draft:
    """What was read so far. `where` in every method is file and line, for the warning."""

    redirects: list[RedirectRule] = field(default_factory=list)
    headers: list[HeaderRule] = field(default_factory=list)
    clean_urls: bool | None = None
    trailing_slash: bool | None = None
    listing: bool = False
    spa: bool = False
    sources: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    _wild: int = 0

    def warn(self, where: str, problem: str) -> None:
        if len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(f"{where}: {problem}")
        elif len(self.warnings) == MOST_WARNINGS:
            self.warnings.append("There are more such warnings.")

    def redirect(
        self,
        where: str,
        compile_source: Callable[[str], Pattern],
        source: str,
        target: str,
        status: int,
        *,
        forced: bool = False,
        query: Mapping[str, str] | None = None,
        countries: Iterable[str] = (),
        languages: Iterable[str] = (),
    ) -> None:
        """Take one redirect or rewrite in, unless something is wrong with it."""
        if status not in STATUSES:
            known = ", ".join(str(status) for status in sorted(STATUSES))
            return self.warn(where, f"status {status} is not one of {known}; left out")
        if not target.startswith(("/", "https://", "http://")):
            return self.warn(where, f"{target!r} is neither a path nor an address; left out")
        pattern = self._pattern(where, compile_source, source)
        if pattern is None:
            return None
        rule = RedirectRule(
            pattern,
            target,
            status,
            forced,
            tuple((query or {}).items()),
            frozenset(country.upper() for country in countries),
            frozenset(language.lower() for language in languages),
        )
        if rule.leaves and status not in {301, 302, 303, 307, 308}:
            problem = f"status {status} to another host would be a proxy, which is not supported"
            return self.warn(where, f"{problem}; left out")
        wild = pattern.expression is not None
        if len(self.redirects) >= MOST_REDIRECTS or (wild and self._wild >= MOST_WILD_REDIRECTS):
            most = f"{MOST_REDIRECTS} redirects ({MOST_WILD_REDIRECTS} with wildcards)"
            return self.warn(where, f"more than {most}; left out")
        self._wild += wild
        self.redirects.append(rule)
        return None

    def header(
        self,
        where: str,
        compile_source: Callable[[str], Pattern],
        source: str,
        values: Iterable[tuple[str, str, str | None]],
    ) -> None:
        """Take the headers of one pattern in; `values` are (where, name, value)."""
        pattern = self._pattern(where, compile_source, source)
        kept = tuple(self._checked(values))
        if pattern is None or not kept:
            return
        if len(self.headers) >= MOST_HEADER_RULES:
            self.warn(where, f"more than {MOST_HEADER_RULES} rules; left out")
            return
        self.headers.append(HeaderRule(pattern, kept))

    def rules(self) -> Rules:
        return Rules(
            forced=Redirects([rule for rule in self.redirects if rule.forced]),
            redirects=Redirects(self.redirects),
            headers=HeaderRules(self.headers),
            clean_urls=self.clean_urls,
            trailing_slash=self.trailing_slash,
            listing=self.listing,
            spa=self.spa,
            sources=frozenset(self.sources),
            warnings=tuple(self.warnings),
        )

    def _pattern(
        self, where: str, compile_source: Callable[[str], Pattern], source: str
    ) -> Pattern | None:
        if source.startswith(("http://", "https://")):
            self.warn(where, "rules for one host are not supported; left out")
            return None
        if not source.startswith("/"):
            self.warn(where, f"{source!r} does not begin with a slash; left out")
            return None
        if len(source) > LONGEST_LINE:
            self.warn(where, f"longer than {LONGEST_LINE} characters; left out")
            return None
        try:
            return compile_source(source)
        except BadPattern as error:
            self.warn(where, f"{source!r} cannot be used: {error}; left out")
            return None

    def _checked(
        self, values: Iterable[tuple[str, str, str | None]]
    ) -> Iterable[tuple[str, str | None]]:
        for where, name, value in values:
            if not _NAME.fullmatch(name):
                self.warn(where, f"{name!r} is no header's name; left out")
            elif name.lower() in _OURS:
                self.warn(where, f"{name} is the host's own to set; left out")
            elif value is not None and not _VALUE.fullmatch(value):
                self.warn(where, f"the value of {name} has characters that no header may have")
            else:
                yield name, value
