"""One deployment, ready to be served: its manifest, compiled once.

Finding a file is one or two dictionary look-ups; headers are made beforehand.
There is no file system here, so there is nothing that a path could escape from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate

from bot.storage.manifest import Entry, Manifest

# What bundlers put into a name whose content never changes: app-B7cD_9x2.js, main.4f2a91bc.css
_FINGERPRINT = re.compile(r"[.-](?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{8,}\.[a-z0-9]+(?:\.map)?$")
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "public, max-age=0, must-revalidate"

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file and the headers that every answer with it has."""

    digest: str
    size: int
    etag: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the canonical address of a page is, relative to the deployment's root."""

    path: str


class Site:
    """Answers which file a path means. Paths begin without a slash; "" is the root."""

    def __init__(self, manifest: Manifest, *, index: bool) -> None:
        """`index`: whether search engines may list it."""
        self.modified = manifest.created_at // 1000
        self.spa = manifest.spa
        self._common: Headers = [
            ("Last-Modified", formatdate(self.modified, usegmt=True)),
            ("Accept-Ranges", "bytes"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if not index:
            self._common.append(("X-Robots-Tag", "noindex"))
        self._files = {path: self._serve(path, entry) for path, entry in manifest.files.items()}

    def find(self, path: str) -> ServedFile | Redirect | None:
        """The file at a path: itself, its folder's index page, or the page without `.html`."""
        files = self._files
        if path == "" or path.endswith("/"):
            return files.get(f"{path}index.html") or self._without_slash(path)
        found = files.get(path)
        if found is not None:
            return found
        if f"{path}.html" in files:
            return files[f"{path}.html"]
        if f"{path}/index.html" in files:
            return Redirect(f"{path}/")
        return None

    def not_found_page(self, path: str) -> ServedFile | None:
        """The `404.html` nearest to the path, going up."""
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            page = self._files.get(f"{folder}/404.html" if folder else "404.html")
            if page is not None:
                return page
        return self._files.get("404.html")

    def fallback_page(self) -> ServedFile | None:
        """What a single-page application answers its own routes with."""
        return self._files.get("index.html") if self.spa else None

    def _without_slash(self, path: str) -> Redirect | None:
        page = path.rstrip("/")
        return Redirect(page) if page and f"{page}.html" in self._files else None

    def _serve(self, path: str, entry: Entry) -> ServedFile:
        etag = f'"{entry.digest[:32]}"'
        cached = _IMMUTABLE if _is_fingerprinted(path, entry) else _REVALIDATE
        headers = [
            ("Content-Type", entry.media_type),
            ("ETag", etag),
            ("Cache-Control", cached),
            *self._common,
        ]
        return ServedFile(entry.digest, entry.size, etag, headers)


def _is_fingerprinted(path: str, entry: Entry) -> bool:
    name = path.rpartition("/")[2]
    return not entry.media_type.startswith("text/html") and bool(_FINGERPRINT.search(name))
