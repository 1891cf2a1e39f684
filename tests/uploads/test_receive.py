from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.errors import UserError
from bot.uploads.receive import Received, TooLarge, receive

BOUNDARY = "----boundary"


def form(*parts: tuple[str, str, bytes]) -> bytes:
    """Parts are (name, file name or nothing, content)."""
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def environ(
    body: bytes, kind: str, *, query: str = "", length: int | None = None
) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body) if length is None else length),
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body),
    }


def form_environ(*parts: tuple[str, str, bytes]) -> dict[str, Any]:
    return environ(form(*parts), f"multipart/form-data; boundary={BOUNDARY}")


def take(request: dict[str, Any], folder: Path, limit: int = 1000) -> tuple[Received, bytes]:
    with receive(request, folder, limit) as received:
        return received, received.path.read_bytes()


def refused(request: dict[str, Any], folder: Path, limit: int = 1000) -> str:
    with pytest.raises(UserError) as caught, receive(request, folder, limit):
        pass
    assert os.listdir(folder) == []
    return caught.value.code


def test_a_forms_file_and_texts_are_taken(tmp_path: Path) -> None:
    content = os.urandom(700)
    request = form_environ(("project", "", b"blog"), ("file", "site.zip", content))
    received, found = take(request, tmp_path)
    assert (found, received.size, received.name) == (content, 700, "site.zip")
    assert received.fields == {"project": "blog"}
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["application/zip", "application/gzip; q=1", "APPLICATION/ZSTD"])
def test_a_body_that_is_the_archive_itself_is_taken(tmp_path: Path, kind: str) -> None:
    received, found = take(environ(b"abc", kind, query="project=blog&name=a.zip"), tmp_path)
    assert (found, received.name) == (b"abc", "a.zip")
    assert received.fields["project"] == "blog"


def test_a_body_without_a_length_is_taken_to_its_end(tmp_path: Path) -> None:
    request = environ(b"abc" * 100, "application/zip") | {"wsgi.input_terminated": True}
    del request["CONTENT_LENGTH"]
    assert take(request, tmp_path)[1] == b"abc" * 100


def test_a_file_that_its_block_moves_away_stays(tmp_path: Path) -> None:
    with receive(environ(b"abc", "application/zip"), tmp_path / "in", 1000) as received:
        received.path.rename(tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == b"abc"


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused(tmp_path: Path, announced: bool) -> None:
    request = environ(bytes(1001), "application/zip")
    if not announced:
        del request["CONTENT_LENGTH"]
        request["wsgi.input_terminated"] = True
    with pytest.raises(TooLarge), receive(request, tmp_path, 1000):
        pass
    assert os.listdir(tmp_path) == []


def test_a_form_over_the_limit_is_refused(tmp_path: Path) -> None:
    assert refused(form_environ(("file", "a", bytes(1001))), tmp_path) == "upload-too-large"
    assert refused(form_environ(("file", "a", bytes(1 << 20))), tmp_path) == "upload-too-large"


def test_a_form_with_endless_texts_is_refused(tmp_path: Path) -> None:
    request = form_environ(("project", "", bytes(300_000)), ("file", "a", b"x"))
    assert refused(request, tmp_path, 1 << 20) == "upload-too-large"


@pytest.mark.parametrize(
    ("request_environ", "code"),
    [
        (form_environ(("other", "a.zip", b"x")), "upload-missing"),
        (form_environ(("file", "", b"text")), "upload-missing"),
        (form_environ(("file", "a", b"x"), ("file", "b", b"y")), "upload-several-files"),
        (form_environ(("file", "a", b"x"), ("more", "b", b"y")), "upload-several-files"),
        (environ(b"x", "text/html"), "upload-type-unknown"),
        (environ(b"x", ""), "upload-type-unknown"),
        (environ(b"x", "multipart/form-data"), "upload-malformed"),
        (environ(b"x", "multipart/form-data; boundary=y"), "upload-malformed"),
        (environ(b"x", "application/zip", length=9), "upload-cut-off"),
    ],
)
def test_what_is_no_upload_is_refused(
    tmp_path: Path, request_environ: dict[str, Any], code: str
) -> None:
    request_environ["wsgi.input"].seek(0)
    assert refused(request_environ, tmp_path) == code


MEASURE = """
import io, os, resource, sys
from pathlib import Path
from bot.uploads.receive import receive

class Body:
    def __init__(self, *parts):
        self.parts, self.rest = iter(parts), b""
    def read(self, size):
        while not self.rest:
            self.rest = next(self.parts, None)
            if self.rest is None:
                self.rest = b""
                return b""
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

size = int(sys.argv[1])
block = os.urandom((1 << 16) - 2) + b"\\r\\n"  # as if a boundary began at its end
head = b'--b\\r\\nContent-Disposition: form-data; name="file"; filename="a.zip"\\r\\n\\r\\n'
tail = b"\\r\\n--b--\\r\\n"
environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "multipart/form-data; boundary=b",
           "CONTENT_LENGTH": str(len(head) + size + len(tail)), "QUERY_STRING": "",
           "wsgi.input": Body(head, *([block] * (size >> 16)), tail)}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with receive(environ, Path(sys.argv[2]), 1 << 31) as received:
    assert received.size == size, received.size
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024)
"""


def test_an_upload_of_256_megabytes_takes_less_than_16_of_memory(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", MEASURE, str(256 << 20), str(tmp_path)]
    added = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert int(added) < 16
