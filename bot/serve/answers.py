"""How answers are written: a file in whole or in part, a redirect, a page of our own.

Bodies are lists, which every server sends in one piece, or objects with `close`.
https://peps.python.org/pep-3333/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, BinaryIO, Protocol

from bot.serve.conditional import (
    Unsatisfiable,
    not_modified,
    parse_ranges,
    precondition_failed,
    range_applies,
)
from bot.serve.front import Front
from bot.serve.negotiation import qualities, weight
from bot.serve.pages import POLICY
from bot.serve.site import Headers, Representation, ServedFile, Site

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApplication = Callable[[Environ, StartResponse], Iterable[bytes]]

_EMPTY = [("Content-Type", "text/plain"), ("Content-Length", "0")]
_CHUNK = 128 * 1024
# A server that cannot send files itself holds a thread while it is fed piece by piece.
_AT_ONCE = 1 << 20
_BOUNDARY = "DeployStack-3d6b6a416f9b5"


def status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


class Contents(Protocol):
    """Where contents are read from, by their digest; a `Store` is one."""

    def open(self, digest: str) -> BinaryIO: ...


class InMemory(Protocol):
    """Contents that need not be read; `Bodies` is one. `None`: it has to be read."""

    def get(self, digest: str, size: int) -> bytes | None: ...


class Answers:
    """Writes answers; shared by all requests of a process."""

    def __init__(self, store: Contents, bodies: InMemory, front: Front) -> None:
        self._store = store
        self._bodies = bodies
        self._front = front

    def is_bound(self, site: Site) -> bool:
        """Whether a site's start page names the base path that it was built for."""
        if site.bound is None:
            entry = site.entry("index.html")
            body = self._bodies.get(entry.digest, entry.size) if entry is not None else None
            site.bound = site.base != "/" and site.base.encode() in (body or b"")
        return site.bound

    def file(
        self,
        environ: Environ,
        start_response: StartResponse,
        site: Site,
        file: ServedFile,
    ) -> Iterable[bytes]:
        """200, 206, 304, 412 or 416: whatever the request's conditions come to."""
        chosen = file.plain
        if file.variants and "HTTP_ACCEPT_ENCODING" in environ:
            chosen = choose(file, environ["HTTP_ACCEPT_ENCODING"])
        if (
            "HTTP_IF_MATCH" in environ or "HTTP_IF_UNMODIFIED_SINCE" in environ
        ) and precondition_failed(
            environ.get("HTTP_IF_MATCH"),
            environ.get("HTTP_IF_UNMODIFIED_SINCE"),
            chosen.etag,
            site.modified,
        ):
            site.traffic.add(412, 0)
            start_response("412 Precondition Failed", _EMPTY[:])
            return []
        if ("HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MODIFIED_SINCE" in environ) and (
            not_modified(
                environ.get("HTTP_IF_NONE_MATCH"),
                environ.get("HTTP_IF_MODIFIED_SINCE"),
                chosen.etag,
                site.modified,
            )
        ):
            site.traffic.add(304, 0)
            start_response("304 Not Modified", chosen.unchanged[:])
            return []
        if "HTTP_RANGE" in environ and environ["REQUEST_METHOD"] == "GET":
            return self._ranges(environ, start_response, site, chosen)
        if self._front.takes(environ, chosen):
            return self._hand_on(start_response, site, chosen, 200, chosen.size)
        return self.whole(environ, start_response, site, chosen, "200 OK")

    def whole(
        self,
        environ: Environ,
        start_response: StartResponse,
        site: Site,
        chosen: Representation,
        status: str,
    ) -> Iterable[bytes]:
        """All of a file, whatever the request's conditions."""
        if environ["REQUEST_METHOD"] == "HEAD":
            site.traffic.add(int(status[:3]), 0)
            start_response(status, chosen.whole[:])
            return []
        body = self._bodies.get(chosen.digest, chosen.size)
        if body is None and chosen.size <= _AT_ONCE and "wsgi.file_wrapper" not in environ:
            body = self._read(chosen.digest)
        content = self._store.open(chosen.digest) if body is None else None
        site.traffic.add(int(status[:3]), chosen.size)
        start_response(status, chosen.whole[:])
        if content is None:
            return [body or b""]
        return _sent(environ, content)

    def _read(self, digest: str) -> bytes:
        with self._store.open(digest) as file:
            return file.read()

    def _ranges(
        self,
        environ: Environ,
        start_response: StartResponse,
        site: Site,
        chosen: Representation,
    ) -> Iterable[bytes]:
        ranges = None
        if range_applies(environ.get("HTTP_IF_RANGE"), chosen.etag, site.modified):
            try:
                ranges = parse_ranges(environ["HTTP_RANGE"], chosen.size)
            except Unsatisfiable:
                headers = [("Content-Range", f"bytes */{chosen.size}"), *_EMPTY]
                site.traffic.add(416, 0)
                start_response("416 Range Not Satisfiable", headers)
                return []
        if ranges is None:
            return self.whole(environ, start_response, site, chosen, "200 OK")
        if self._front.takes(environ, chosen):
            length = sum(last - first + 1 for first, last in ranges)
            return self._hand_on(start_response, site, chosen, 206, length)
        if len(ranges) > 1:
            return self._parts(start_response, site, chosen, ranges)
        first, last = ranges[0]
        length = last - first + 1
        content = self._store.open(chosen.digest)
        content.seek(first)
        site.traffic.add(206, length)
        start_response(
            "206 Partial Content",
            [
                *chosen.headers,
                ("Content-Range", f"bytes {first}-{last}/{chosen.size}"),
                ("Content-Length", str(length)),
            ],
        )
        if last == chosen.size - 1:
            return _sent(environ, content)
        return _Part(content, length)

    def _hand_on(
        self,
        start_response: StartResponse,
        site: Site,
        chosen: Representation,
        status: int,
        length: int,
    ) -> Iterable[bytes]:
        """Leave the sending to the front server, and count what it will send."""
        site.traffic.add(status, length)
        start_response("200 OK", self._front.headers(chosen))
        return []

    def _parts(
        self,
        start_response: StartResponse,
        site: Site,
        chosen: Representation,
        ranges: list[tuple[int, int]],
    ) -> Iterable[bytes]:
        """Several ranges: https://www.rfc-editor.org/rfc/rfc9110#name-media-type-multipart-bytera"""
        kept = [header for header in chosen.headers if header[0] != "Content-Type"]
        media_type = next(v for n, v in chosen.headers if n == "Content-Type")
        heads = [
            f"\r\n--{_BOUNDARY}\r\nContent-Type: {media_type}\r\n"
            f"Content-Range: bytes {first}-{last}/{chosen.size}\r\n\r\n".encode("latin-1")
            for first, last in ranges
        ]
        end = f"\r\n--{_BOUNDARY}--\r\n".encode()
        length = len(end) + sum(
            len(head) + last - first + 1 for head, (first, last) in zip(heads, ranges, strict=True)
        )
        site.traffic.add(206, length)
        content = self._store.open(chosen.digest)
        start_response(
            "206 Partial Content",
            [
                *kept,
                ("Content-Type", f"multipart/byteranges; boundary={_BOUNDARY}"),
                ("Content-Length", str(length)),
            ],
        )
        return _multipart(content, heads, ranges, end)


def choose(file: ServedFile, accept_encoding: str) -> Representation:
    """The representation that the client likes best; of those it likes equally, the smallest."""
    accepted = qualities(accept_encoding)
    best, liked = file.plain, 0.0
    for variant in file.variants:
        wanted = weight(accepted, variant.encoding)
        if wanted > liked:
            best, liked = variant, wanted
    # Identity is always acceptable, but only a client that weighs it can prefer it.
    if accepted.get("identity", 0.0) > liked:
        return file.plain
    return best


def redirect(
    environ: Environ,
    start_response: StartResponse,
    location: str,
    status: int,
    headers: Headers | None = None,
) -> Iterable[bytes]:
    """To a path on this host, with the request's query."""
    query = environ.get("QUERY_STRING")
    # Never "//host": that would lead to another site.
    target = "/" + location.lstrip("/\\") + (f"?{query}" if query else "")
    return redirect_to(start_response, target, status, headers)


def redirect_to(
    start_response: StartResponse, target: str, status: int, headers: Headers | None = None
) -> Iterable[bytes]:
    """To any address, as it is."""
    given = headers or [("Cache-Control", "no-cache")]
    start_response(status_line(status), [("Location", target), *_EMPTY, *given])
    return []


def page(
    environ: Environ,
    start_response: StartResponse,
    status: int,
    body: bytes,
    headers: Headers | None = None,
) -> Iterable[bytes]:
    """A page of our own, which nobody may keep."""
    common = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Robots-Tag", "noindex"),
    ]
    start_response(status_line(status), common + (headers or []))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _sent(environ: Environ, content: BinaryIO) -> Iterable[bytes]:
    """The rest of a file, by the server's own means (sendfile) where it has any."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is not None:
        wrapped: Iterable[bytes] = wrapper(content, _CHUNK)
        return wrapped
    return _Part(content, None)


class _Part:
    """`length` bytes of a file from where it stands (`None`: all), closed at the end."""

    __slots__ = ("_content", "_left")

    def __init__(self, content: BinaryIO, length: int | None) -> None:
        self._content = content
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        left = self._left
        chunk = self._content.read(_CHUNK if left is None else min(left, _CHUNK))
        if not chunk:
            raise StopIteration
        if left is not None:
            self._left = left - len(chunk)
        return chunk

    def close(self) -> None:
        self._content.close()


def _multipart(
    content: BinaryIO, heads: list[bytes], ranges: list[tuple[int, int]], end: bytes
) -> Iterator[bytes]:
    with content:
        for head, (first, last) in zip(heads, ranges, strict=True):
            yield head
            content.seek(first)
            left = last - first + 1
            while left > 0 and (chunk := content.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
        yield end
