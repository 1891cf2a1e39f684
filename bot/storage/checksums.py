"""All files of a deployment as one text, in the format of `sha256sum`, and its digest.

One line for each file, in the order of their paths' bytes, so that whoever has the files can
make the same text with coreutils.
https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from bot.storage.manifest import Entry

_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escaped: plain for plain, escaped in _ESCAPED.items()}
_LINE = re.compile(r"(\\?)([0-9a-f]{64})  (.+)")


def checksums(digests: Mapping[str, str]) -> bytes:
    """`digests` are paths → SHA-256 in hex."""
    # The order of texts is that of their UTF-8. Nearly all paths are written as they are.
    found = sorted(digests.items())
    names = "".join(digests)
    if names.isprintable() and "\\" not in names:
        return "".join([f"{digest}  {path}\n" for path, digest in found]).encode()
    return "".join(_line(path, digest) for path, digest in found).encode()


def of_entries(files: Mapping[str, Entry]) -> bytes:
    """The same of a manifest's files."""
    return checksums({path: entry.digest for path, entry in files.items()})


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def parse(text: bytes) -> dict[str, str]:
    """Path → SHA-256. Raises `ValueError` where it is not such a text."""
    return dict(_parsed(text.decode().split("\n")[:-1]))


def _parsed(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"{line[:80]!r} is no line of sha256sum")
        escaped, value, path = found.groups()
        if escaped:
            path = re.sub(r"\\[\\nr]", lambda match: _PLAIN[match.group()], path)
        yield path, value


def _line(path: str, value: str) -> str:
    shown = re.sub(r"[\\\n\r]", lambda match: _ESCAPED[match.group()], path)
    mark = "\\" if shown != path else ""
    return f"{mark}{value}  {shown}\n"
