"""Archives with some bytes changed: unpacked or refused, and never anything else."""

from __future__ import annotations

import contextlib
import os
import random
import tarfile
import tempfile
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.uploads.archive import unpack
from tests.uploads import archives
from tests.uploads.archives import PAGE, gzipped, tar_entry, tar_of, zip_of
from tests.uploads.test_archive import LIMITS

FILES = {"index.html": PAGE, "a/b.css": b"x" * 700, "ünïcode.txt": b"y"}
MEMBERS = [
    (tarfile.TarInfo("index.html"), PAGE),
    (tarfile.TarInfo("long/" * 40 + "name.txt"), b"z"),
    (tar_entry("link", tarfile.SYMTYPE, "index.html"), b""),
    (tar_entry("hard", tarfile.LNKTYPE, "index.html"), b""),
    (tar_entry("folder", tarfile.DIRTYPE), b""),
    (tarfile.TarInfo("ünïcode.txt"), b"y"),
]
ORIGINALS = {
    "zip": zip_of(FILES, links={"link": "index.html"}),
    "zip of raw names": archives.zip_of_raw_names([b"index.html", b"\x81\x82"]),
    "tar": tar_of(MEMBERS),
    "tar.gz": gzipped(tar_of(MEMBERS)),
    "tar.zst": archives.zstandard_of(tar_of(MEMBERS)),
}
ROUNDS = int(os.environ.get("MUTATIONS", "150"))


def mutated(original: bytes, chance: random.Random) -> bytes:
    content = bytearray(original)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content))
        match chance.randrange(4):
            case 0:
                content[at] = chance.randrange(256)
            case 1:
                content[at] ^= 1 << chance.randrange(8)
            case 2:
                content[at : at + chance.randint(1, 4)] = b"\xff" * 4
            case _:
                del content[at : at + chance.randint(1, 20)]
    return bytes(content)


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_changed_archive_is_unpacked_or_refused_and_nothing_else(name: str) -> None:
    chance = random.Random(name)
    unpacked = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        archive, parent = Path(folder) / "archive", Path(folder) / "parent"
        for number in range(ROUNDS):
            archive.write_bytes(mutated(ORIGINALS[name], chance))
            target = parent / str(number)
            with contextlib.suppress(UserError):
                unpack(archive, target, LIMITS)
                unpacked += 1
                for path in target.rglob("*"):
                    assert path.resolve().is_relative_to(target)
            assert sorted(os.listdir(folder)) == ["archive", "parent"]
            assert not [found for found in os.listdir(parent) if found.startswith(".")]
    assert unpacked < ROUNDS
