"""The leak gate: secrets' values must not be published.

A value is looked for as it is, and as it looks after the encodings that build tools put
texts through: Base64 (wherever in a longer text it begins), percent-encoding, and the
escapes of JSON and HTML. It cannot find what was compressed, encrypted, or cut in pieces.
"""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, quote_plus

from bot.errors import UserError
from bot.secret import Secret
from bot.settings import Settings

# Shorter ones are found by chance in files that have nothing to do with them.
SHORTEST = 8  # characters
_CHUNK = 1 << 20
CODE = "secret-leaked"
_HINT = (
    "Have the build leave it out. If it is no secret but meant for visitors, store it as "
    "such (`secret: false`). If it is one and was published before, replace it."
)


@dataclass(frozen=True, slots=True)
class Leak:
    """Where a secret was found; lines are counted from 1."""

    name: str
    place: str
    line: int

    def error(self) -> UserError:
        message = f"The secret {self.name} would be published: it is in {self.place}"
        return UserError(CODE, f"{message}, line {self.line}.", _HINT)


class LeakGate:
    """Looks for the values of `secrets`, which are named in what it says."""

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._forms: dict[bytes, str] = {}
        for name, secret in secrets.items():
            value = secret.reveal().strip()
            if len(value) >= SHORTEST:
                self._forms |= dict.fromkeys(forms(value), name)
        self._longest = max(map(len, self._forms), default=0)

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._forms)

    def look_at(self, path: str, content: bytes) -> None:
        """Raise `UserError` where a file has a secret in it."""
        if (found := self._find(content)) is not None:
            name, at = found
            raise Leak(name, path, content.count(b"\n", 0, at) + 1).error()

    def look_into(self, path: str, file: Path) -> None:
        """The same of a file that is not held in memory."""
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as content:
            self.check(path, chunks_of(content))

    def reading(self, path: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks, looked at as they go by."""
        before, lines = b"", 1
        for chunk in chunks:
            window = before + chunk
            found = self._find(window)
            if found is not None:
                name, at = found
                raise Leak(name, path, lines + window.count(b"\n", 0, at)).error()
            before = window[-(self._longest - 1) :] if self._longest > 1 else b""
            lines += window.count(b"\n", 0, len(window) - len(before))
            yield chunk

    def check(self, path: str, chunks: Iterable[bytes]) -> None:
        """Raise `UserError` where a file has a secret in it; reads no further than that."""
        for _ in self.reading(path, chunks):
            pass

    def _find(self, text: bytes) -> tuple[str, int] | None:
        for form, name in self._forms.items():
            at = text.find(form)
            if at >= 0:
                return name, at
        return None


def own_secrets(settings: Settings) -> dict[str, Secret]:
    """The bot's own, by the names of their settings."""
    found = {}
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        secrets = value if isinstance(value, tuple) else (value,)
        for number, secret in enumerate(secrets, 1):
            if isinstance(secret, Secret) and secret:
                name = f"{setting.name} ({number})" if number > 1 else setting.name
                found[name] = secret
    return found


def forms(value: str) -> tuple[bytes, ...]:
    """A value's bytes, plain and encoded, each once."""
    plain = value.encode()
    escaped = (
        *(quote(value, safe=""), quote(value), quote_plus(value)),
        *(json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]),
        *(html.escape(value), value.replace("\n", "\r\n")),
    )
    found = [plain, *(text.encode() for text in escaped)]
    for offset in range(3):
        found += _in_base64(plain, offset)
    return tuple(dict.fromkeys(found))


def _in_base64(plain: bytes, offset: int) -> Iterator[bytes]:
    """What a value always looks like, `offset` bytes after a group of three began.

    The characters that its neighbours have a part in are left out.
    https://www.rfc-editor.org/rfc/rfc4648#section-4
    """
    first = (offset * 8 + 5) // 6
    last = (offset + len(plain)) * 8 // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(offset) + plain)[first:last]


def chunks_of(content: BinaryIO) -> Iterator[bytes]:
    """A file's content in pieces that memory is never short of."""
    while chunk := content.read(_CHUNK):
        yield chunk
