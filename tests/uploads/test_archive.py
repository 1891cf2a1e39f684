from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.uploads.archive import kind_of, unpack
from bot.uploads.entries import ArchiveLimits
from tests.uploads import archives
from tests.uploads.archives import PAGE, gzipped, tar_entry, tar_of, tar_of_files, zip_of

LIMITS = ArchiveLimits(files=100, file_size=1 << 20, total_size=4 << 20)
SITE = {"index.html": PAGE, "assets/app.js": b"run()", "assets/deep/er/x.css": b""}

Pack = Callable[[dict[str, bytes]], bytes]
PACKERS: dict[str, Pack] = {
    "zip": zip_of,
    "tar": tar_of_files,
    "tar.gz": lambda files: gzipped(tar_of_files(files)),
    "tar.zst": lambda files: archives.zstandard_of(tar_of_files(files)),
}

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda packed: packed,
    "tar.gz": gzipped,
    "tar.zst": archives.zstandard_of,
}


@pytest.fixture(params=PACKERS)
def pack(request: pytest.FixtureRequest) -> Pack:
    return PACKERS[request.param]


class Upload:
    """Unpacks in a folder of its own, and sees what a refusal leaves there."""

    def __init__(self, folder: Path) -> None:
        self._archive = folder / "upload"
        self._parent = folder / "unpacked"
        self.target = self._parent / "site"

    def __call__(self, content: bytes, limits: ArchiveLimits = LIMITS) -> dict[str, bytes]:
        self._archive.write_bytes(content)
        unpacked = unpack(self._archive, self.target, limits)
        found = {
            path.relative_to(self.target).as_posix(): path.read_bytes()
            for path in self.target.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        assert sorted(unpacked.files) == sorted(found)
        assert os.listdir(self._parent) == ["site"]
        return found

    def refused(self, content: bytes, limits: ArchiveLimits = LIMITS) -> str:
        """The code of the refusal."""
        self._archive.write_bytes(content)
        with pytest.raises(UserError) as caught:
            unpack(self._archive, self.target, limits)
        assert caught.value.message
        assert not self._parent.exists() or os.listdir(self._parent) == []
        return caught.value.code


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    return Upload(tmp_path)


def test_every_kind_of_archive_is_unpacked_whole(pack: Pack, upload: Upload) -> None:
    assert upload(pack(SITE)) == SITE


def test_a_single_top_folder_is_stripped_once(pack: Pack, upload: Upload) -> None:
    packed = pack({f"site-1.0/inner/{name}": content for name, content in SITE.items()})
    assert upload(packed) == {f"inner/{name}": content for name, content in SITE.items()}


def test_a_folder_beside_a_file_is_not_stripped(pack: Pack, upload: Upload) -> None:
    files = {"a/index.html": PAGE, "readme.txt": b"x"}
    assert upload(pack(files)) == files


def test_what_macs_leave_behind_is_dropped_and_does_not_keep_the_top_folder(
    pack: Pack, upload: Upload
) -> None:
    rubbish = {"__MACOSX/site/._index.html": b"x", "site/.DS_Store": b"x", ".DS_Store": b"x"}
    assert upload(pack({"site/index.html": PAGE} | rubbish)) == {"index.html": PAGE}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:\\evil", "..\\evil", "\\\\host\\evil"]
)
def test_a_name_that_leads_out_is_refused(pack: Pack, upload: Upload, name: str) -> None:
    assert upload.refused(pack({"index.html": PAGE, name: b"x"})) == "archive-unsafe-path"


def test_backslashes_within_the_tree_are_separators(upload: Upload) -> None:
    packed = archives.zip_of_raw_names([b"index.html", b"assets\\app.js"])
    assert upload(packed) == {"index.html": PAGE, "assets/app.js": PAGE}


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../outside", "../..", "sub/../../../outside", "loop/../../../x"]
)
def test_symbolic_links_out_of_the_tree_are_refused(upload: Upload, target: str) -> None:
    packed = zip_of({"index.html": PAGE}, links={"sub/link": target})
    assert upload.refused(packed) == "archive-unsafe-link"
    member = (tar_entry("sub/link", tarfile.SYMTYPE, target), b"")
    assert upload.refused(tar_of([member, (tarfile.TarInfo("a"), b"")])) == "archive-unsafe-link"


def test_a_chain_of_links_that_ends_outside_is_refused(upload: Upload) -> None:
    links = {"a": "b/..", "b": "sub/up", "sub/up": "../sub/up2", "sub/up2": "../.."}
    assert upload.refused(zip_of({"sub/x": b"x", "y": b""}, links=links)) == "archive-unsafe-link"


def test_a_link_beside_the_top_folder_cannot_be_reached_through_the_stripping(
    upload: Upload,
) -> None:
    packed = zip_of({"site/index.html": PAGE}, links={"site/link": "../site/../../x"})
    assert upload.refused(packed) == "archive-unsafe-link"


def test_links_within_the_tree_stay_links(upload: Upload) -> None:
    upload(zip_of({"index.html": PAGE, "deep/a": b"a"}, links={"deep/b": "../index.html"}))
    assert os.readlink(upload.target / "deep/b") == "../index.html"


def test_nothing_is_written_through_a_link(upload: Upload, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    members = [
        (tarfile.TarInfo("index.html"), PAGE),
        (tar_entry("door", tarfile.SYMTYPE, str(outside)), b""),
        (tarfile.TarInfo("door/evil"), b"x"),
    ]
    assert upload.refused(tar_of(members)) == "archive-duplicate-name"
    assert os.listdir(outside) == []


def test_a_hard_link_is_a_copy_of_an_earlier_file(upload: Upload) -> None:
    members = [
        (tarfile.TarInfo("./index.html"), PAGE),
        (tar_entry("copy.html", tarfile.LNKTYPE, "./index.html"), b""),
    ]
    assert upload(tar_of(members)) == {"index.html": PAGE, "copy.html": PAGE}
    assert (upload.target / "copy.html").stat().st_nlink == 1


@pytest.mark.parametrize("compressed", COMPRESSIONS)
@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/etc/passwd", "archive-unsafe-path"),
        ("../outside", "archive-unsafe-path"),
        ("missing", "archive-unsafe-link"),
        ("link", "archive-unsafe-link"),
    ],
)
def test_a_hard_link_to_anything_else_is_refused(
    upload: Upload, target: str, code: str, compressed: str
) -> None:
    members = [
        (tarfile.TarInfo("index.html"), PAGE),
        (tar_entry("link", tarfile.LNKTYPE, target), b""),
    ]
    assert upload.refused(COMPRESSIONS[compressed](tar_of(members))) == code


def test_hard_links_count_towards_the_size(upload: Upload) -> None:
    members = [(tarfile.TarInfo("0"), os.urandom(1 << 20))]
    members += [(tar_entry(str(n), tarfile.LNKTYPE, "0"), b"") for n in range(1, 10)]
    assert upload.refused(tar_of(members)) == "deployment-too-large"


@pytest.mark.parametrize("compressed", COMPRESSIONS)
@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_in_a_tar_are_refused(
    upload: Upload, kind: bytes, compressed: str
) -> None:
    members = [(tarfile.TarInfo("index.html"), PAGE), (tar_entry("x", kind), b"")]
    assert upload.refused(COMPRESSIONS[compressed](tar_of(members))) == "archive-special-file"


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_and_pipes_in_a_zip_are_refused(upload: Upload, kind: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(archives.zip_entry("x", kind | 0o644), "")
    assert upload.refused(buffer.getvalue()) == "archive-special-file"


def test_a_sparse_file_is_refused(upload: Upload) -> None:
    """A pax header may claim a terabyte of holes in no space."""
    member = tarfile.TarInfo("big")
    member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)}
    assert upload.refused(tar_of([(member, b"x")])) == "archive-special-file"


def test_special_bits_are_dropped_and_the_executable_one_is_kept(upload: Upload) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(archives.zip_entry("run.sh", stat.S_IFREG | 0o6777), "x")
        archive.writestr(archives.zip_entry("index.html", stat.S_IFREG | 0o600), PAGE)
    upload(buffer.getvalue())
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in upload.target.iterdir()}
    assert modes == {"run.sh": 0o755, "index.html": 0o644}


LARGE = ArchiveLimits(files=100, file_size=1 << 30, total_size=1 << 30)


def test_a_bomb_is_refused_by_its_ratio(pack: Pack, upload: Upload) -> None:
    bomb = pack({"index.html": PAGE, "zeros": bytes(24 << 20)})
    if pack is tar_of_files:  # which cannot be one
        assert len(upload(bomb, LARGE)) == 2
    else:
        assert upload.refused(bomb, LARGE) == "archive-bomb"


def test_a_zip_that_lies_about_its_sizes_is_refused(upload: Upload) -> None:
    honest = zip_of({"zeros": bytes(8 << 20)})
    size = (8 << 20).to_bytes(4, "little")
    assert honest.count(size) == 2
    lying = honest.replace(size, (100).to_bytes(4, "little"))
    assert upload.refused(lying) == "archive-damaged"


def test_an_archive_in_an_archive_is_a_file_like_any_other(pack: Pack, upload: Upload) -> None:
    inner = pack({"zeros": bytes(4 << 20)})[: 1 << 20]
    files = {"index.html": PAGE, "download.bin": inner}
    assert upload(pack(files)) == files


def test_a_bomb_within_an_archive_goes_off_nowhere(pack: Pack, upload: Upload) -> None:
    """Such as 42.zip: nobody unpacks it, and by itself it is small."""
    bomb = zip_of({f"{n}.zip": zip_of({"zeros": bytes(8 << 20)}) for n in range(4)})
    assert len(bomb) < 1 << 16
    assert upload(pack({"index.html": PAGE, "42.zip": bomb})) == {
        "index.html": PAGE,
        "42.zip": bomb,
    }


def test_entries_that_share_their_bytes_are_refused(upload: Upload) -> None:
    packed = archives.zip_of_overlapping_entries(50, os.urandom(1000))
    assert upload.refused(packed) == "archive-overlapping"


def test_a_million_entries_are_refused_before_they_cost_anything(upload: Upload) -> None:
    packed = archives.zip_of_raw_names((b"%d" % n for n in range(1000)), b"")
    start = packed.index(b"PK\1\2")
    directory = packed[start:-22] * 1000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(directory), start, 0)
    assert upload.refused(packed[:start] + directory + end) == "too-many-files"


def test_a_tar_of_too_many_entries_is_refused(upload: Upload) -> None:
    folders = ((tar_entry(f"f{n}", tarfile.DIRTYPE), b"") for n in range(300))
    assert upload.refused(gzipped(tar_of(folders))) == "too-many-files"


def test_the_limits_are_exact(pack: Pack, upload: Upload) -> None:
    files = {f"{n}.txt": b"12345" for n in range(4)}
    exact = ArchiveLimits(files=4, file_size=5, total_size=20)
    assert upload(pack(files), exact) == files


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ArchiveLimits(files=3, file_size=5, total_size=20), "too-many-files"),
        (ArchiveLimits(files=4, file_size=4, total_size=20), "file-too-large"),
        (ArchiveLimits(files=4, file_size=5, total_size=19), "deployment-too-large"),
    ],
)
def test_beyond_a_limit_an_archive_is_refused(
    pack: Pack, upload: Upload, limits: ArchiveLimits, code: str
) -> None:
    assert upload.refused(pack({f"{n}.txt": b"12345" for n in range(4)}), limits) == code


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(upload: Upload) -> None:
    twice = archives.zip_of_raw_names([b"index.html", b"index.html"])
    assert upload.refused(twice) == "archive-duplicate-name"
    members = [(tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("./a"), b"2")]
    assert upload.refused(tar_of(members)) == "archive-duplicate-name"


def test_names_that_differ_by_case_alone_are_refused(pack: Pack, upload: Upload) -> None:
    assert upload.refused(pack({"Index.html": PAGE, "index.html": PAGE})) == "archive-case-clash"


def test_an_encrypted_zip_is_refused(upload: Upload) -> None:
    packed = archives.zip_of_raw_names([b"index.html"], flags=0x1)
    assert upload.refused(packed) == "archive-encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_compression_is_refused(upload: Upload, method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("index.html", PAGE)
    assert upload.refused(buffer.getvalue()) == "archive-compression-unsupported"


def test_an_archive_cut_off_anywhere_is_refused(pack: Pack, upload: Upload) -> None:
    packed = pack(SITE | {"random": os.urandom(3000), "last": bytes(2000)})
    end = len(packed) - 1
    if pack is tar_of_files:  # the padding after the mark may go
        end = packed.rindex(b"last") + 1000
    for length in {end, end * 2 // 3, end // 2, 600}:
        assert upload.refused(packed[:length]) == "archive-damaged", length


def test_a_tar_cut_off_between_two_files_is_refused(upload: Upload) -> None:
    packed = tar_of_files({"a": b"1", "b": b"2"})
    assert upload.refused(archives.zstandard_of(packed[:1024])) == "archive-damaged"


def test_a_broken_header_is_not_taken_for_the_end(upload: Upload) -> None:
    packed = bytearray(tar_of_files({"a": b"1", "b": b"2"}))
    packed[1024 + 150] ^= 0xFF
    assert upload.refused(gzipped(bytes(packed))) == "archive-damaged"


def test_a_flipped_bit_is_noticed(upload: Upload) -> None:
    packed = bytearray(archives.zip_of_raw_names([b"index.html"]))
    packed[packed.index(PAGE) + 3] ^= 1
    assert upload.refused(bytes(packed)) == "archive-damaged"
    zipped = bytearray(gzipped(tar_of_files(SITE)))
    zipped[-5] ^= 1
    assert upload.refused(bytes(zipped)) == "archive-damaged"


def test_a_zip_followed_by_something_is_refused(upload: Upload) -> None:
    assert upload.refused(zip_of(SITE) + b"x") == "archive-damaged"


def test_a_header_that_claims_a_name_of_a_gigabyte_is_refused(upload: Upload) -> None:
    name = tar_entry("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    packed = tar_of([(name, bytes(3 << 20)), (tarfile.TarInfo("a"), b"")])
    assert upload.refused(packed) == "archive-damaged"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<!doctype html>",
        b"Rar!\x1a\x07",
        b"7z\xbc\xaf\x27\x1c",
        b"\x89PNG",
        bytes(600),
    ],
)
def test_what_is_no_archive_is_refused_by_its_content(upload: Upload, content: bytes) -> None:
    assert upload.refused(content) == "archive-type-unknown"


def test_the_kind_is_told_by_content_alone(tmp_path: Path) -> None:
    misnamed = tmp_path / "site.zip"
    misnamed.write_bytes(gzipped(tar_of_files(SITE)))
    assert kind_of(misnamed) == "gzip"


def test_an_archive_without_files_is_refused(pack: Pack, upload: Upload) -> None:
    # An empty tar is nothing but zeros, which could be anything.
    nothing = "archive-type-unknown" if pack is tar_of_files else "archive-empty"
    assert upload.refused(pack({})) == nothing
    assert upload.refused(pack({".DS_Store": b"x"})) == "archive-empty"


@pytest.mark.parametrize(
    ("raw", "flags", "name"),
    [
        ("grün.html".encode(), 0x800, "grün.html"),
        ("grün.html".encode(), 0, "grün.html"),
        ("grün.html".encode("cp437"), 0, "grün.html"),
        ("日本.html".encode(), 0x800, "日本.html"),
    ],
)
def test_names_in_utf_8_and_in_the_old_encoding_are_read(
    upload: Upload, raw: bytes, flags: int, name: str
) -> None:
    assert upload(archives.zip_of_raw_names([raw], flags=flags)) == {name: PAGE}


def test_a_name_in_no_known_encoding_is_refused(upload: Upload) -> None:
    packed = tar_of_files({"x.html": PAGE}).replace(b"x.html", b"\xfc.html")
    header = bytearray(packed)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    assert upload.refused(bytes(header)) == "archive-name-encoding"


def test_members_of_gzip_that_follow_one_another_are_one_archive(upload: Upload) -> None:
    packed = tar_of_files(SITE)
    assert upload(gzipped(packed[:700]) + gzipped(packed[700:])) == SITE
