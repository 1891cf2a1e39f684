"""Archives for tests, made by hand where no packer would make such a thing."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable

import zstandard

PAGE = b"<!doctype html><h1>Hello</h1>"


def zip_of(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in (links or {}).items():
            archive.writestr(zip_entry(name, stat.S_IFLNK | 0o777), target)
    return buffer.getvalue()


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def zip_of_raw_names(names: Iterable[bytes], content: bytes = PAGE, flags: int = 0) -> bytes:
    """A zip whose names are these bytes, whatever they are."""
    body, directory, count = b"", b"", 0
    checksum, size = zlib.crc32(content), len(content)
    for name in names:
        common = struct.pack("<HHHHHLLLHH", 20, flags, 0, 0, 33, checksum, size, size, len(name), 0)
        directory += b"PK\1\2" + struct.pack("<H", 20) + common
        directory += struct.pack("<HHHLL", 0, 0, 0, 0o644 << 16, len(body)) + name
        body += b"PK\3\4" + common + name + content
        count += 1
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


def zip_of_overlapping_entries(count: int, content: bytes) -> bytes:
    """Many entries of the directory that all mean the same bytes."""
    one = zip_of({"0": content})
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        start = archive.start_dir
    entry = one[start:-22]
    directory = entry * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    return one[:start] + directory + end


def tar_of(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def tar_of_files(files: dict[str, bytes]) -> bytes:
    return tar_of((tarfile.TarInfo(name), content) for name, content in files.items())


def tar_entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = link
    return member


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zstandard_of(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)
