"""One deployment, ready to be served from memory.

Finding a file is a dictionary look-up or two; headers are made when a path is asked
for the first time, and kept. There is no file system here, so there is nothing that
a path could escape from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate

from bot.models.resolve import Found
from bot.serve.rules import NO_RULES, Rules
from bot.serve.traffic import Traffic
from bot.storage.manifest import Entry, Manifest

# What bundlers put into a name whose content never changes: app-B7cD_9x2.js, main.4f2a91bc.css
_FINGERPRINT = re.compile(r"[.-](?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{8,}\.[a-z0-9]+(?:\.map)?$")
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "public, max-age=0, must-revalidate"
# Paths whose headers are kept; a client that asks for all of a huge site starts over.
_MOST_KEPT = 4096
# Memory in bytes, measured roughly: an entry of a manifest, and a path's headers.
_ENTRY_SIZE = 500
_KEPT_SIZE = 2500

Header = tuple[str, str]
Headers = list[Header]


@dataclass(frozen=True, slots=True)
class Representation:
    """A file in one content coding, with the headers of each kind of answer made beforehand."""

    digest: str
    size: int
    encoding: str  # empty: as it is
    etag: str
    headers: Headers  # of a part of it
    whole: Headers
    unchanged: Headers


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file under one path: as it is, and its compressed variants, smallest first."""

    name: str
    plain: Representation
    variants: tuple[Representation, ...] = ()

    def varying(self, names: Sequence[str]) -> ServedFile:
        """The same file as an answer that also depended on these request headers."""
        plain = _varying(self.plain, names)
        return ServedFile(self.name, plain, tuple(_varying(v, names) for v in self.variants))


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the canonical address of a page is, relative to the deployment's root."""

    path: str


class Site:
    """Answers which file a path means. Paths begin without a slash; "" is the root."""

    def __init__(
        self, manifest: Manifest, found: Found, traffic: Traffic, rules: Rules = NO_RULES
    ) -> None:
        self.found = found
        self.deployment_id = manifest.deployment
        self.base = manifest.base
        # Whether its pages work under `base` alone; found out when it matters.
        self.bound: bool | None = None
        self.modified = manifest.created_at // 1000
        self.compressed = manifest.compressed
        self.rules = rules
        self.access = found.access
        self.toolbar = found.toolbar
        self.traffic = traffic
        self.memory = len(manifest.files) * _ENTRY_SIZE
        self.memory += min(len(manifest.files), _MOST_KEPT) * _KEPT_SIZE
        self._spa = manifest.spa or rules.spa
        self._entries = {p: e for p, e in manifest.files.items() if p not in rules.sources}
        self._kept: dict[str, ServedFile | Redirect] = {}
        self._common: Headers = [
            ("Last-Modified", formatdate(self.modified, usegmt=True)),
            ("Accept-Ranges", "bytes"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "strict-origin-when-cross-origin"),
        ]
        if found.environment != "production":
            self._common.append(("X-Robots-Tag", "noindex"))

    def find(self, path: str) -> ServedFile | Redirect | None:
        """The file at a path: itself, its folder's index page, or the page without `.html`."""
        kept = self._kept.get(path)
        if kept is not None:
            return kept
        name = self._locate(path)
        if name is None and not path.isascii():
            # Some systems decompose letters in file names, browsers never do.
            name = self._locate(unicodedata.normalize("NFC", path)) or self._locate(
                unicodedata.normalize("NFD", path)
            )
        if name is None:
            return None
        found = name if isinstance(name, Redirect) else self.served(name, path)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[path] = found
        return found

    def not_found_page(self, path: str) -> ServedFile | None:
        """The `404.html` nearest to the path, going up."""
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            name = f"{folder}/404.html" if folder else "404.html"
            if name in self._entries:
                return self.served(name, path)
        return self.served("404.html", path) if "404.html" in self._entries else None

    def fallback_page(self, path: str) -> ServedFile | None:
        """What a single-page application answers its own routes with."""
        if self._spa and "index.html" in self._entries:
            return self.served("index.html", path)
        return None

    def entry(self, name: str) -> Entry | None:
        """The file of exactly this name."""
        return self._entries.get(name)

    def names_below(self, folder: str) -> list[str]:
        """What a listing of `folder` (empty, or ending with a slash) shows; folders end so too."""
        inner = {
            name[len(folder) :].partition("/") for name in self._entries if name.startswith(folder)
        }
        return sorted({first + slash for first, slash, _ in inner})

    def served(self, name: str, path: str) -> ServedFile:
        """The file `name` as the answer to a request for `path`, whose header rules count."""
        entry = self._entries[name]
        common = [
            ("Cache-Control", _IMMUTABLE if _is_fingerprinted(name, entry) else _REVALIDATE),
            *self._common,
        ]
        vary = ["Accept-Encoding"] if entry.variants else []
        if self.toolbar and entry.media_type.startswith("text/html"):
            vary.append("Sec-Fetch-Dest")
        if vary:
            common.append(("Vary", ", ".join(vary)))
        content_type = ("Content-Type", entry.media_type)
        headers = self.rules.headers.apply(f"/{path}", [content_type, *common])
        plain = _representation(entry.digest, entry.size, "", headers)
        variants = [_representation(v.digest, v.size, v.encoding, headers) for v in entry.variants]
        return ServedFile(name, plain, tuple(variants))

    def _locate(self, path: str) -> str | Redirect | None:
        """The name of the file that a path means, or where its page really is."""
        entries, rules = self._entries, self.rules
        if path in entries:
            if rules.clean_urls and path.endswith(".html"):
                return Redirect(_clean(path, rules.trailing_slash))
            return path
        if path == "" or path.endswith("/"):
            page = path[:-1]
            if f"{path}index.html" in entries:
                without = rules.trailing_slash is False and bool(page)
                return Redirect(page) if without else f"{path}index.html"
            if page and f"{page}.html" in entries and rules.clean_urls is not False:
                return f"{page}.html" if rules.trailing_slash else Redirect(page)
            return None
        if f"{path}.html" in entries and rules.clean_urls is not False:
            return Redirect(f"{path}/") if rules.trailing_slash else f"{path}.html"
        if f"{path}/index.html" in entries:
            without = rules.trailing_slash is False
            return f"{path}/index.html" if without else Redirect(f"{path}/")
        return None


def _clean(path: str, trailing_slash: bool | None) -> str:
    """A page's canonical address, where clean addresses are asked for."""
    if path == "index.html" or path.endswith("/index.html"):
        folder = path[: -len("index.html")]
        return folder[:-1] if trailing_slash is False else folder
    return path[: -len(".html")] + ("/" if trailing_slash else "")


def _representation(
    digest: str, size: int, encoding: str, given: Sequence[Header]
) -> Representation:
    etag = f'"{digest[:32]}"'
    headers = [*given, ("ETag", etag)]
    if encoding:
        headers.append(("Content-Encoding", encoding))
    whole = [*headers, ("Content-Length", str(size))]
    unchanged = [h for h in headers if h[0] not in {"Content-Type", "Content-Encoding"}]
    return Representation(digest, size, encoding, etag, headers, whole, unchanged)


def _varying(given: Representation, names: Sequence[str]) -> Representation:
    def add(headers: Headers) -> Headers:
        own = [value for name, value in headers if name == "Vary"]
        kept = [header for header in headers if header[0] != "Vary"]
        return [*kept, ("Vary", ", ".join([*own, *names]))]

    return replace(
        given,
        headers=add(given.headers),
        whole=add(given.whole),
        unchanged=add(given.unchanged),
    )


def _is_fingerprinted(path: str, entry: Entry) -> bool:
    name = path.rpartition("/")[2]
    return not entry.media_type.startswith("text/html") and bool(_FINGERPRINT.search(name))
