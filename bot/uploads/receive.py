"""The body of an upload, straight to disk: a form's `file`, or the archive by itself.

No more than one chunk of a body is in memory at a time, whatever its size. What the
file holds is not looked at here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl

from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_input_stream

from bot.errors import SystemFault, UserError
from bot.uploads.names import shown

# https://www.iana.org/assignments/media-types, and what browsers and curl make of it.
ARCHIVE_TYPES = frozenset(
    {
        "application/gzip",
        "application/octet-stream",
        "application/x-gzip",
        "application/x-tar",
        "application/x-zip-compressed",
        "application/zip",
        "application/zstd",
    }
)
FORM_TYPE = "multipart/form-data"
_CHUNK = 1 << 18
_MOST_FIELDS = 20
# Bytes of one of a form's texts; the parser holds twice what it reads at a time against it.
_LARGEST_FIELD = 256 << 10
# What a form adds to its file: boundaries, headers, texts.
_FORM_OVERHEAD = 128 << 10


class TooLarge(UserError):
    def __init__(self, limit: int) -> None:
        super().__init__(
            "upload-too-large",
            f"An upload has at most {limit} bytes.",
            "MAX_UPLOAD_SIZE is the operator's limit.",
        )


@dataclass(frozen=True, slots=True)
class Received:
    """An upload on disk. `fields` are the form's texts, or the query's; `name` is the file's."""

    path: Path
    size: int
    name: str
    fields: Mapping[str, str]


@contextmanager
def receive(environ: dict[str, Any], folder: Path, limit: int) -> Iterator[Received]:
    """Take a WSGI request's upload of up to `limit` bytes into `folder`, for the block's time.

    Whatever the block leaves where it is, is removed. Raises `UserError`: `TooLarge`,
    `upload-missing`, `upload-several-files`, `upload-type-unknown`, `upload-cut-off`.
    """
    with _faults():
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".incoming-", dir=folder))
    try:
        yield _received(environ, draft, limit)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def chunks_of(environ: dict[str, Any], limit: int) -> Iterator[bytes]:
    """A body of up to `limit` bytes, as it comes. Raises `TooLarge` or `UserError`."""
    stream = get_input_stream(environ, max_content_length=limit)
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except RequestEntityTooLarge:
        raise TooLarge(limit) from None
    except ClientDisconnected:
        raise UserError("upload-cut-off", "The upload is shorter than announced.") from None


def _received(environ: dict[str, Any], draft: Path, limit: int) -> Received:
    kind, _ = parse_options_header(environ.get("CONTENT_TYPE", ""))
    kind = kind.lower()
    try:
        with _faults():
            if kind == FORM_TYPE:
                return _form(environ, draft, limit)
            if kind in ARCHIVE_TYPES:
                return _body(environ, draft, limit)
    except RequestEntityTooLarge:
        raise TooLarge(limit) from None
    except ClientDisconnected:
        raise UserError("upload-cut-off", "The upload is shorter than announced.") from None
    except (HTTPException, ValueError) as error:
        raise UserError("upload-malformed", f"The form cannot be read: {error}.") from None
    raise UserError(
        "upload-type-unknown",
        f"A body of type {shown(kind) or 'unknown'} is no upload.",
        "Send a form with `file` (curl -F file=@site.zip), or the archive itself as "
        "application/zip, application/gzip or application/zstd.",
    )


def _form(environ: dict[str, Any], draft: Path, limit: int) -> Received:
    """https://www.rfc-editor.org/rfc/rfc7578"""
    opened: list[IO[bytes]] = []

    def open_file(
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        del total_content_length, content_type, filename, content_length
        opened.append((draft / str(len(opened))).open("xb+"))
        return opened[-1]

    parser = FormDataParser(
        stream_factory=open_file,
        max_content_length=limit + _FORM_OVERHEAD,
        max_form_memory_size=_LARGEST_FIELD,
        max_form_parts=_MOST_FIELDS,
        silent=False,
    )
    try:
        _, texts, parts = parser.parse_from_environ(environ)
    finally:
        for file in opened:
            file.close()
    found = parts.get("file")
    if found is None:
        raise UserError(
            "upload-missing", "The form has no file named `file`.", "curl -F file=@site.zip …"
        )
    if len(opened) > 1:
        raise UserError(
            "upload-several-files", "The form has several files.", "Pack them into one archive."
        )
    path = draft / "0"
    size = path.stat().st_size
    if size > limit:
        raise TooLarge(limit)
    fields = _query(environ) | {name: texts[name] for name in texts}
    return Received(path, size, found.filename or "", fields)


def _body(environ: dict[str, Any], draft: Path, limit: int) -> Received:
    path = draft / "0"
    size = 0
    with path.open("xb", buffering=0) as file:
        for chunk in chunks_of(environ, limit):
            size += len(chunk)
            file.write(chunk)
    fields = _query(environ)
    return Received(path, size, fields.get("name", ""), fields)


def _query(environ: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(environ.get("QUERY_STRING", ""), max_num_fields=_MOST_FIELDS))


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SystemFault("upload-folder", f"The upload cannot be stored: {error}") from error
