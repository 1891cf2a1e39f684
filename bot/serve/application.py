"""The WSGI layer ahead of everything: answers for previews, hands on all else.

    __call__ → key in host or path → site in memory → file → 200, 206, 304 …

It sends no cookie and reads none, runs no code of a deployment, and rewrites nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from bot.events import Bus
from bot.models import resolve as queries
from bot.models.resolve import Found
from bot.models.status import ACTIVE, DeploymentStatus
from bot.serve.conditional import Unsatisfiable, not_modified, parse_ranges, range_applies
from bot.serve.pages import page
from bot.serve.resolve import Sites
from bot.serve.site import Headers, Redirect, ServedFile, Site
from bot.settings import Settings
from bot.storage.store import Store

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApplication = Callable[[Environ, StartResponse], Iterable[bytes]]

_FULL_KEY = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64}|dpl-[0-9a-z]{26})")
_PREFIX = re.compile(r"[0-9a-f]{7,63}")
_CHUNK = 64 * 1024
_SAFE_IN_PATH = "/~!$&'()*+,;=:@-._"


class Previews:
    """`/<sha>/…`, `/<deployment id>/…` and their host forms; `fallback` answers the rest."""

    def __init__(
        self, store: Store, settings: Settings, bus: Bus, fallback: WsgiApplication
    ) -> None:
        self._store = store
        self._settings = settings
        self._bus = bus
        self._fallback = fallback
        self._sites = Sites(store, queries.by_key)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        host_key = self._key_of_host(environ)
        path = _path(environ)
        if host_key:
            return _Request(self, environ, start_response, host_key, "/", path[1:]).answer()
        key, slash, rest = path[1:].partition("/")
        if _FULL_KEY.fullmatch(key):
            if not slash:
                return _redirect(environ, start_response, f"/{key}/", 308)
            return _Request(self, environ, start_response, key, f"/{key}/", rest).answer()
        if _PREFIX.fullmatch(key):
            return self._by_prefix(environ, start_response, key, rest)
        return self._by_referer(environ, start_response, path)

    def _key_of_host(self, environ: Environ) -> str:
        domain = self._settings.PREVIEW_DOMAIN
        if not domain:
            return ""
        host = environ.get("HTTP_HOST", "").partition(":")[0].lower()
        label = host.removesuffix(f".{domain.lower()}")
        return label if label != host and _FULL_KEY.fullmatch(label) else ""

    def _by_prefix(
        self, environ: Environ, start_response: StartResponse, prefix: str, rest: str
    ) -> Iterable[bytes]:
        """A unique beginning of a SHA leads to the whole of it."""
        shas = sorted({found.sha for found in self._sites.look_up(prefix)})
        if not shas:
            return self._fallback(environ, start_response)
        if len(shas) == 1:
            return _redirect(environ, start_response, f"/{shas[0]}/{_quoted(rest)}", 302)
        text = f"Several commits begin with {prefix}: {', '.join(shas)}. Use more of its digits."
        return _page(environ, start_response, "300 Multiple Choices", page("Which commit?", text))

    def _by_referer(
        self, environ: Environ, start_response: StartResponse, path: str
    ) -> Iterable[bytes]:
        """A preview's page that asks for `/logo.png` means its own, not the host's.

        The last resort for builds that could not be told their base path.
        """
        site_key = self._key_of_referer(environ)
        if site_key:
            kept = self._sites.ready(site_key)
            found = kept[1].find(path[1:]) if kept is not None and path != "/" else None
            if isinstance(found, ServedFile):
                if environ.get("HTTP_SEC_FETCH_MODE") == "navigate":
                    return _redirect(environ, start_response, f"/{site_key}{_quoted(path)}", 302)
                request = _Request(self, environ, start_response, site_key, "/", path[1:])
                return request.answer()
        return self._fallback(environ, start_response)

    def _key_of_referer(self, environ: Environ) -> str:
        referer = environ.get("HTTP_REFERER")
        if not referer or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return ""
        try:
            parts = urlsplit(referer)
        except ValueError:
            return ""
        if parts.netloc != environ.get("HTTP_HOST"):
            return ""
        key = parts.path[1:].partition("/")[0]
        return key if _FULL_KEY.fullmatch(key) else ""


class _Request:
    """One request for a path within one deployment."""

    def __init__(
        self,
        previews: Previews,
        environ: Environ,
        start_response: StartResponse,
        key: str,
        base: str,
        path: str,
    ) -> None:
        self._previews = previews
        self._environ = environ
        self._start_response = start_response
        self._key = key
        self._base = base
        self._path = path

    def answer(self) -> Iterable[bytes]:
        if self._environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            body = page("Not allowed", "A preview is read only: GET and HEAD.")
            return self._page("405 Method Not Allowed", body, [("Allow", "GET, HEAD")])
        kept = self._previews._sites.ready(self._key)
        if kept is not None:
            return self._serve(kept[1])
        candidates = self._previews._sites.look_up(self._key)
        if not candidates:
            text = (
                "No deployment has this address. Was the commit pushed to a connected repository?"
            )
            return self._page("404 Not Found", page("Not found", text))
        site = self._previews._sites.load(self._key, candidates[0])
        return self._serve(site) if site is not None else self._not_ready(candidates[0])

    def _not_ready(self, found: Found) -> Iterable[bytes]:
        log = (self._previews._settings.build_url(found.build_id), "See its log")
        if found.status == DeploymentStatus.DELETED:
            return self._page("410 Gone", page("Deleted", "This deployment was deleted."))
        if found.status == DeploymentStatus.SKIPPED:
            text = "The commit's message asked for no deployment."
            return self._page("404 Not Found", page("Not deployed", text))
        if found.build_status in ACTIVE or found.status == DeploymentStatus.READY:
            text = f"{found.project} {found.sha[:12]}: {found.build_status}. This page follows it."
            body = page("Building", text, link=log, refresh=1)
            return self._page("503 Service Unavailable", body, [("Retry-After", "1")])
        text = found.problem or f"The build is {found.build_status}."
        body = page("This build did not become a page", text, link=log)
        return self._page("404 Not Found", body)

    def _serve(self, site: Site) -> Iterable[bytes]:
        if "\\" in self._path or "\0" in self._path:
            return self._page("400 Bad Request", page("Bad request", "This is no valid path."))
        found = site.find(self._path)
        if isinstance(found, ServedFile):
            return self._send(site, found)
        if isinstance(found, Redirect):
            location = self._base + _quoted(found.path)
            return _redirect(self._environ, self._start_response, location, 308)
        if self._is_navigation() and (fallback := site.fallback_page()) is not None:
            return self._send(site, fallback)
        not_found = site.not_found_page(self._path)
        if not_found is not None:
            return self._whole(not_found, "404 Not Found")
        text = f"This deployment has no file /{self._path}."
        return self._page("404 Not Found", page("Not found", text, link=(self._base, "Its start")))

    def _is_navigation(self) -> bool:
        """Whether a person goes to a page, rather than a page asking for a part of itself."""
        name = self._path.rpartition("/")[2]
        return "." not in name and "text/html" in self._environ.get("HTTP_ACCEPT", "")

    def _send(self, site: Site, file: ServedFile) -> Iterable[bytes]:
        environ = self._environ
        if not_modified(
            environ.get("HTTP_IF_NONE_MATCH"),
            environ.get("HTTP_IF_MODIFIED_SINCE"),
            file.etag,
            site.modified,
        ):
            kept = [header for header in file.headers if header[0] != "Content-Type"]
            self._start_response("304 Not Modified", kept)
            return ()
        wanted = environ.get("HTTP_RANGE")
        if wanted and range_applies(environ.get("HTTP_IF_RANGE"), file.etag, site.modified):
            try:
                ranges = parse_ranges(wanted, file.size)
            except Unsatisfiable:
                headers = [("Content-Range", f"bytes */{file.size}"), ("Content-Length", "0")]
                self._start_response("416 Range Not Satisfiable", headers)
                return ()
            # Several ranges at once: all of it is a valid answer, and nobody minds.
            if ranges is not None and len(ranges) == 1:
                return self._part(file, *ranges[0])
        return self._whole(file, "200 OK")

    def _whole(self, file: ServedFile, status: str) -> Iterable[bytes]:
        self._start_response(status, [*file.headers, ("Content-Length", str(file.size))])
        if self._environ["REQUEST_METHOD"] == "HEAD":
            return ()
        content = self._previews._store.open(file.digest)
        wrapper = self._environ.get("wsgi.file_wrapper")
        if wrapper is not None:
            wrapped: Iterable[bytes] = wrapper(content, _CHUNK)
            return wrapped
        return iter(lambda: content.read(_CHUNK), b"")

    def _part(self, file: ServedFile, first: int, last: int) -> Iterable[bytes]:
        headers = [
            *file.headers,
            ("Content-Range", f"bytes {first}-{last}/{file.size}"),
            ("Content-Length", str(last - first + 1)),
        ]
        self._start_response("206 Partial Content", headers)
        if self._environ["REQUEST_METHOD"] == "HEAD":
            return ()
        return _read_part(self._previews._store, file.digest, first, last - first + 1)

    def _page(self, status: str, body: bytes, headers: Headers | None = None) -> Iterable[bytes]:
        return _page(self._environ, self._start_response, status, body, headers)


def _read_part(store: Store, digest: str, offset: int, length: int) -> Iterable[bytes]:
    with store.open(digest) as content:
        content.seek(offset)
        while length > 0 and (chunk := content.read(min(length, _CHUNK))):
            length -= len(chunk)
            yield chunk


def _path(environ: Environ) -> str:
    """The decoded path. WSGI hands bytes over as Latin-1 (PEP 3333); addresses are UTF-8."""
    raw: str = environ.get("PATH_INFO") or "/"
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def _quoted(path: str) -> str:
    return quote(path, safe=_SAFE_IN_PATH)


def _redirect(
    environ: Environ, start_response: StartResponse, location: str, status: int
) -> Iterable[bytes]:
    query = environ.get("QUERY_STRING")
    # Never "//host": that would lead to another site.
    target = "/" + location.lstrip("/") + (f"?{query}" if query else "")
    phrase = {302: "Found", 308: "Permanent Redirect"}[status]
    headers = [("Location", target), ("Content-Length", "0"), ("Cache-Control", "no-cache")]
    start_response(f"{status} {phrase}", headers)
    return ()


def _page(
    environ: Environ,
    start_response: StartResponse,
    status: str,
    body: bytes,
    headers: Headers | None = None,
) -> Iterable[bytes]:
    common = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Robots-Tag", "noindex"),
    ]
    start_response(status, common + (headers or []))
    return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)
