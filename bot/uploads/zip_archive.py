"""Entries of a zip file. What unpacks them decides where they may go (`archive`).

The central directory alone counts, as for every unpacker; it is counted before
Python's reader loads it, which takes a kilobyte of memory for each entry.
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bot.errors import UserError
from bot.uploads.entries import Budget, Entry, Kind, damaged
from bot.uploads.names import shown

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_HEADER = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL_HEADER_SIZE = 30
_LONGEST_COMMENT = 65_535
_ENCRYPTED, _UTF8, _STRONGLY_ENCRYPTED = 0x1, 0x800, 0x40
# Info-ZIP's UTF-8 name beside one in the old encoding (APPNOTE 4.6.9).
_UNICODE_PATH = 0x7075
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_CHUNK = 1 << 18
_KINDS = {0: Kind.FILE, stat.S_IFREG: Kind.FILE, stat.S_IFLNK: Kind.SYMBOLIC_LINK}
_LONGEST_LINK = 4096


def read(path: Path, budget: Budget) -> Iterator[Entry]:
    """The entries, in the order of the central directory. Raises `UserError`."""
    with path.open("rb") as file:
        counted = _count(file, budget)
        with _explained(), zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if len(infos) != counted:
                raise damaged("its directory contradicts itself")
            _check(infos, archive.start_dir, budget)
            for info in infos:
                yield _entry(archive, info)


@contextmanager
def _explained() -> Iterator[None]:
    """Python's complaints about a zip file, as ours."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error) as error:
        raise damaged(str(error)) from None
    except (EOFError, NotImplementedError, ValueError, OverflowError) as error:
        raise damaged(str(error) or "it ends early") from None


def _count(file: BinaryIO, budget: Budget) -> int:
    """How many entries the central directory has, without loading it."""
    start, size = _directory(file)
    file.seek(start)
    end, position, count = start + size, start, 0
    while position < end:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(b"PK\1\2"):
            raise damaged("its directory is broken")
        fields = _HEADER.unpack(header)
        position += _HEADER.size + fields[12] + fields[13] + fields[14]
        file.seek(position)
        count += 1
        if count > budget.most_entries:
            raise budget.too_many()
    file.seek(0)
    return count


def _directory(file: BinaryIO) -> tuple[int, int]:
    """(start, size) of the central directory."""
    size = file.seek(0, os.SEEK_END)
    tail_size = min(size, _END.size + _LONGEST_COMMENT)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise damaged("its directory is missing")
    fields = _END.unpack_from(tail, at)
    # Anything after the comment would let two readers see two archives.
    if at + _END.size + fields[7] != len(tail):
        raise damaged("something follows its end")
    end = size - tail_size + at
    directory_size = fields[5]
    file.seek(max(end - _LOCATOR.size, 0))
    if file.read(4) == b"PK\6\7" and end >= _LOCATOR.size + _END64.size:
        end -= _LOCATOR.size + _END64.size
        file.seek(end)
        large = _END64.unpack(file.read(_END64.size))
        if large[0] != b"PK\6\6":
            raise damaged("its directory is broken")
        directory_size = large[8]
    if directory_size > end:
        raise damaged("its directory is broken")
    return end - directory_size, directory_size


def _check(infos: list[zipfile.ZipInfo], directory: int, budget: Budget) -> None:
    """Refuse before anything is written: bombs, overlaps, passwords, other methods."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        # https://www.bamsoftware.com/hacks/zipbomb/: entries that share their bytes.
        if info.header_offset < end:
            raise UserError(
                "archive-overlapping",
                f"{shown(info.filename)} overlaps another entry.",
                "No program that packs sites does that: pack it anew.",
            )
        end = info.header_offset + _LOCAL_HEADER_SIZE + info.compress_size
        if info.flag_bits & (_ENCRYPTED | _STRONGLY_ENCRYPTED):
            raise UserError(
                "archive-encrypted",
                "The archive is protected by a password.",
                "Pack it without one.",
            )
        if info.compress_type not in _METHODS:
            raise UserError(
                "archive-compression-unsupported",
                f"{shown(info.filename)} is compressed by a method that is not supported.",
                "Pack it with Deflate, the usual method.",
            )
    if end > directory:
        raise damaged("an entry runs into its directory")
    budget.expansion(sum(info.file_size for info in infos))


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    name = _name(info)
    if name.endswith(("/", "\\")):
        return Entry(name, Kind.FOLDER)
    mode = info.external_attr >> 16
    kind = _KINDS.get(stat.S_IFMT(mode), Kind.SPECIAL)
    if stat.S_ISDIR(mode):
        kind = Kind.FOLDER
    link = ""
    if kind is Kind.SYMBOLIC_LINK:
        if info.file_size > _LONGEST_LINK:
            raise damaged("a link is too long")
        link = archive.read(info).decode("utf-8", "surrogateescape")
    return Entry(
        name, kind, bool(mode & stat.S_IXUSR), link, content=lambda: _chunks(archive, info)
    )


def _name(info: zipfile.ZipInfo) -> str:
    """The name, whole: Python cuts it at a NUL. Without a flag it may be UTF-8 all the same."""
    name = info.orig_filename
    if info.flag_bits & _UTF8:
        return name
    raw = name.encode("cp437")
    extra = info.extra
    while len(extra) >= 4:
        tag, size = struct.unpack_from("<HH", extra)
        if tag == _UNICODE_PATH and size > 5:
            version, checksum = struct.unpack_from("<BL", extra, 4)
            if version == 1 and checksum == zlib.crc32(raw):
                return extra[9 : 4 + size].decode("utf-8", "surrogateescape")
        extra = extra[4 + size :]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return name


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with _explained(), archive.open(info) as content:
        while chunk := content.read(_CHUNK):
            yield chunk
