"""A build's log on disk: plain text, bounded, free of secrets, readable while it grows.

Each line is `12:34:56.789 > text` for what the bot says and `12:34:56.789 | text` for
what a command prints (standard output and error, in the order they came); times are
UTC. Progress bars are reduced to their last state, colours are taken out.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bot.builders.leaks import SHORTEST, Leak, forms
from bot.secret import Secret

_SAYS = ">"
_PRINTS = "|"
_MASK = b"[REDACTED]"
# Shorter texts are not masked: they would be found in half of all words.
_SHORTEST_SECRET = 6
_LONGEST_LINE = 1 << 16
_KEPT_LINES = 20
# Escape sequences (ECMA-48): CSI, OSC, and the two-character ones.
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class FileLog:
    """A `BuildLog` in a file of at most `limit` bytes (and one line more, saying so)."""

    def __init__(self, path: Path, limit: int, secrets: Iterable[Secret] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Appending: a build that is taken up again goes on where its log ended.
        self._file = path.open("ab", buffering=0)
        self._room = limit - self._file.tell()
        self._full = self._room <= 0
        self._pending = b""
        self._masks: re.Pattern[bytes] | None = None
        self._lock = threading.Lock()
        self._secrets: set[bytes] = set()
        self._guarded: dict[bytes, str] = {}
        # A build that is taken up again goes on counting, too.
        before = path.read_bytes()
        self._line = before.count(b"\n")
        self._digest = hashlib.sha256(before)
        # The first place where a guarded secret was about to be written.
        self.leak: Leak | None = None
        self.tail: deque[str] = deque(maxlen=_KEPT_LINES)
        self.mask(secrets)

    def mask(self, secrets: Iterable[Secret]) -> None:
        """Never let these texts into the log; a secret of several lines is masked line by line."""
        for secret in secrets:
            value = secret.reveal()
            parts = (part.strip().encode() for part in [value, *value.splitlines()])
            self._secrets.update(part for part in parts if len(part) >= _SHORTEST_SECRET)
        self._compile()

    def guard(self, secrets: Mapping[str, Secret]) -> None:
        """Mask these too, encoded as well, and remember in `leak` that one was printed."""
        self.mask(secrets.values())
        for name, secret in secrets.items():
            if len(secret.reveal().strip()) >= SHORTEST:
                self._guarded |= dict.fromkeys(forms(secret.reveal().strip()), name)
        self._secrets.update(self._guarded)
        self._compile()

    def masked(self, text: str) -> str:
        """A text without the secrets that must not get into the log."""
        return self._hidden(text.encode(errors="replace")).decode(errors="replace")

    def _compile(self) -> None:
        if self._secrets:
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._masks = re.compile(b"|".join(map(re.escape, longest_first)))

    def say(self, line: str) -> None:
        with self._lock:
            self._flush_pending()
            for part in self._masked(line.encode(errors="replace")).splitlines() or [b""]:
                self._append(_SAYS, part.decode(errors="replace"))

    def write(self, output: bytes) -> None:
        with self._lock:
            *lines, self._pending = (self._pending + output).split(b"\n")
            for line in lines:
                self._append(_PRINTS, _shown(self._masked(line)))
            if len(self._pending) > _LONGEST_LINE:
                self._cut_pending()

    def digest(self) -> str:
        """SHA-256, in hex, of the file as it is now."""
        with self._lock:
            self._flush_pending()
            return self._digest.hexdigest()

    def flush(self) -> None:
        """Write out a line that has no end yet."""
        with self._lock:
            self._flush_pending()

    def close(self) -> None:
        with self._lock:
            self._flush_pending()
            self._file.close()

    def _flush_pending(self) -> None:
        if self._pending:
            line, self._pending = self._pending, b""
            self._append(_PRINTS, _shown(self._masked(line)))

    def _cut_pending(self) -> None:
        """Break an endless line, but never within a secret, which may not be whole yet."""
        masked = self._masked(self._pending)
        longest = max(map(len, self._secrets), default=1)
        head, self._pending = masked[:-longest], masked[-longest:]
        self._append(_PRINTS, _shown(head))

    def _masked(self, text: bytes) -> bytes:
        if self._masks is None:
            return text
        for name in map(self._guarded.get, self._masks.findall(text) if self._guarded else ()):
            if name is not None and self.leak is None:
                self.leak = Leak(name, "the build's log", self._line + 1)
        return self._hidden(text)

    def _hidden(self, text: bytes) -> bytes:
        return text if self._masks is None else self._masks.sub(_MASK, text)

    def _append(self, stream: str, text: str) -> None:
        if stream == _PRINTS:
            self.tail.append(text)
        if self._full:
            return
        time = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
        content = f"{time} {stream} {text}\n".encode(errors="replace")
        if len(content) > self._room:
            self._full = True
            content = f"{time} {_SAYS} The log is full; what follows is not kept.\n".encode()
        self._room -= len(content)
        self._line += 1
        self._digest.update(content)
        self._file.write(content)


def _shown(line: bytes) -> str:
    """What a terminal would show of a line in the end."""
    plain = _ESCAPES.sub(b"", line).decode(errors="replace")
    written = [part for part in plain.split("\r") if part]
    return _CONTROLS.sub("", written[-1]) if written else ""
