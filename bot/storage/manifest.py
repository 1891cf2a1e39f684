"""What a deployment consists of: a mapping of paths to stored contents.

A manifest is written once, last, when all its files are stored: a deployment is
either whole or not there. What it serves never changes afterwards, so whoever has
read it may keep it for as long as it likes; only compressed variants are added.
"""

from __future__ import annotations

import mimetypes
import posixpath
from collections.abc import Iterator

import msgspec

# The types that browsers insist on and that systems' own tables lack or get wrong.
# https://html.spec.whatwg.org/multipage/scripting.html and the IANA registry.
_TYPES = {
    ".avif": "image/avif",
    ".cjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
_WITH_CHARSET = {"application/json", "application/manifest+json", "application/xml"}
_GUESS = mimetypes.MimeTypes()  # the library's own table, not the machine's


# How front servers look for a variant next to its file.
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

# Files that say how others are to be served (`bot.serve.rules`).
RULES_FILES = (
    "_redirects", "_headers", "deploystack.toml", "netlify.toml", "vercel.json", "serve.json",
)  # fmt: skip


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """A file's content in a content coding: `br`, `zstd` or `gzip`; `size` is in bytes."""

    encoding: str
    digest: str
    size: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One file. `digest` is SHA-256 in hex; `size` is in bytes.

    `source` is the Git blob that it was published from, where it was taken from
    Git as it is: the next push need not read an unchanged file again.
    """

    digest: str
    size: int
    media_type: str
    source: str = ""
    # Made once it is live, by `bot.storage.variants`; the smallest first.
    variants: tuple[Variant, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a deployment by path (`index.html`, `assets/app.js`).

    `spa`: a single-page application, whose unknown paths are answered with its
    index page. `base` is the path that the build was made for, e.g. `/<sha>/`.
    """

    deployment: str
    files: dict[str, Entry]
    spa: bool = False
    base: str = "/"
    created_at: int = 0
    # Configuration files of the project that serving obeys (`deploystack.toml`,
    # `vercel.json`, `serve.json`): name → text. They need not be among the files.
    configuration: dict[str, str] = {}
    # Whether variants were made. Only then is a manifest written twice: readers
    # that have it uncompressed look again.
    compressed: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is nothing but files, so that a front server may serve it by itself."""
        return not self.configuration and not any(name in self.files for name in RULES_FILES)

    def digests(self) -> Iterator[str]:
        """The digest of every content that this deployment needs, some more than once."""
        for entry in self.files.values():
            yield entry.digest
            for variant in entry.variants:
                yield variant.digest


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.encode(manifest)


_decoder = msgspec.json.Decoder(Manifest)


def decode(content: bytes) -> Manifest:
    return _decoder.decode(content)


def media_type(path: str) -> str:
    """The Content-Type of a file by its name, with a charset where it is text."""
    suffix = posixpath.splitext(path)[1].lower()
    found = _TYPES.get(suffix) or _GUESS.guess_type(path)[0] or "application/octet-stream"
    if found.startswith("text/") or found in _WITH_CHARSET:
        return f"{found}; charset=utf-8"
    return found
