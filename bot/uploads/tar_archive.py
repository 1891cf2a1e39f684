"""Entries of a tar file: plain, or compressed by gzip or Zstandard; read once, front to back.

https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import zstandard

from bot.uploads.entries import Budget, Entry, Kind, damaged

_CHUNK = 1 << 18
_PACKED_CHUNK = 1 << 16
# A Zstandard block of four bytes can stand for 128 KB: little goes in at a time.
_ZSTANDARD_CHUNK = 1 << 10
_LARGEST_WINDOW = 1 << 27  # bytes: what `zstd` itself accepts without being asked
# Long names come in headers that Python reads into memory whole.
_LARGEST_HEADER = 1 << 20
# Python's reader asks for this many bytes at a time.
_REMEMBERED = 2 * tarfile.RECORDSIZE
_GZIP = 31  # zlib's name for gzip with the largest window


class Decompressor(Protocol):
    """As zlib has it: `max_length` bounds the output, and the rest waits."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zstandard:
    """zstandard's object; its output has no bound, so its input is kept small."""

    unconsumed_tail = b""

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        self._object = decompressor.decompressobj()

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        del max_length
        return self._object.decompress(data)


class _Plain:
    """No compression at all; it has no end of its own."""

    eof = False
    unused_data = b""
    unconsumed_tail = b""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        del max_length
        return data


def _gzip() -> Decompressor:
    return cast(Decompressor, zlib.decompressobj(_GZIP))


# Compression → how its decompressor is made, and how much goes into it at a time.
_FORMATS: dict[str, tuple[Callable[[], Decompressor], int]] = {
    "gzip": (_gzip, _PACKED_CHUNK),
    "zstd": (_Zstandard, _ZSTANDARD_CHUNK),
    "plain": (_Plain, _PACKED_CHUNK),
}


class _Stream:
    """The tar file's bytes. Counts them, knows whether the end was the real one."""

    def __init__(self, file: BinaryIO, compression: str, budget: Budget) -> None:
        self._file = file
        self._make, self._chunk = _FORMATS[compression]
        self._whole = compression == "plain"
        self._decompressor = self._make()
        self._fed = False
        self._ready = memoryview(b"")  # slices cost nothing, whatever their size
        self._packed = b""
        self._budget = budget
        self._total = 0
        self._recent = b""
        self._header_end: int | None = None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer at the end alone."""
        parts: list[memoryview] = []
        missing = size
        while missing > 0 and (self._ready or self._refill()):
            parts.append(self._ready[:missing])
            self._ready = self._ready[missing:]
            missing -= len(parts[-1])
        found = b"".join(parts)
        self._total += len(found)
        self._recent = (self._recent + found)[-_REMEMBERED:]
        self._budget.expansion(self._total)
        if self._header_end is not None and self._total > self._header_end:
            raise damaged("a header is too long")
        return found

    def in_header(self) -> None:
        self._header_end = self._total + _LARGEST_HEADER

    def in_content(self) -> None:
        self._header_end = None

    def finish(self, offset: int) -> None:
        """Check that the entries ended with the mark at `offset`, and read on to the checksum.

        Python takes a broken header, or none, for the end as well.
        """
        start = offset - (self._total - len(self._recent))
        if self._recent[start : start + tarfile.BLOCKSIZE] != tarfile.NUL * tarfile.BLOCKSIZE:
            raise damaged("a header is broken or missing")
        self.in_content()
        while self.read(_CHUNK):
            pass

    def _refill(self) -> bool:
        while not self._ready:
            data = self._packed or self._file.read(self._chunk)
            self._packed = b""
            if not data:
                if self._fed and not self._whole:
                    raise damaged("it ends early")
                return False
            if self._decompressor.eof:
                self._decompressor = self._make()
            self._fed = True
            self._ready = memoryview(self._decompressor.decompress(data, _CHUNK))
            self._packed = self._decompressor.unconsumed_tail
            if self._decompressor.eof:
                # Another member may follow: `cat a.gz b.gz` is a gzip file.
                self._packed = self._decompressor.unused_data
                self._fed = False
        return True


def read(path: Path, compression: str, budget: Budget) -> Iterator[Entry]:
    """The entries, in order; `compression` is `gzip`, `zstd` or `plain`. Raises `UserError`."""
    with path.open("rb") as file, _explained():
        stream = _Stream(file, compression, budget)
        stream.in_header()
        with tarfile.open(
            fileobj=cast(Any, stream), mode="r|", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            while True:
                stream.in_header()
                member = archive.next()
                if member is None:
                    break
                stream.in_content()
                # Python remembers every member, which nobody asks for here.
                cast(Any, archive).members = []
                yield _entry(archive, member)
                _skip(archive, member)
            stream.finish(archive.offset)


@contextmanager
def _explained() -> Iterator[None]:
    """The complaints of Python and the decompressors, as ours."""
    try:
        yield
    except (tarfile.TarError, zlib.error, zstandard.ZstdError) as error:
        raise damaged(str(error)) from None
    except (EOFError, ValueError, OverflowError) as error:
        raise damaged(str(error) or "it ends early") from None


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    return Entry(
        member.name,
        _kind(member),
        bool(member.mode & 0o100),
        member.linkname,
        content=lambda: _chunks(archive, member),
    )


def _kind(member: tarfile.TarInfo) -> Kind:
    if member.issparse():
        return Kind.SPECIAL  # holes cost nothing to pack, whatever their size
    if member.isreg():
        return Kind.FILE
    if member.isdir():
        return Kind.FOLDER
    if member.issym():
        return Kind.SYMBOLIC_LINK
    return Kind.HARD_LINK if member.islnk() else Kind.SPECIAL


def _chunks(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    with _explained():
        content = archive.extractfile(member)
        missing = member.size if content is not None else 0
        while content is not None and missing > 0:
            chunk = content.read(min(_CHUNK, missing))
            if not chunk:
                raise damaged("it ends early")
            missing -= len(chunk)
            yield chunk


def _skip(archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Pass over what nobody read, so that the next header is next."""
    if member.isreg() and not member.issparse():
        stream = archive.fileobj
        assert stream is not None  # noqa: S101 (open for reading)
        end = member.offset_data + member.size
        while stream.tell() < end:
            if not stream.read(min(_CHUNK, end - stream.tell())):
                raise damaged("it ends early")
