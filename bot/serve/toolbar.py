"""The toolbar that previews' pages carry where their project wants it.

A page that somebody goes to gets one more element, a script of the preview's own origin;
parts that scripts fetch, frames and everything that is no page stay as they are. Such a
page is a representation of its own, with a size, an ETag and codings of its own, made once
and kept in memory within a bound. Production never gets one (`bot.models.resolve`).

It is not in charge of answering (`answers` is).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import BinaryIO

from bot.models import toolbar
from bot.models.addresses import alias_path
from bot.serve.answers import Answers, Contents, Environ, StartResponse, choose
from bot.serve.conditional import matches
from bot.serve.front import Front
from bot.serve.site import Representation, ServedFile, Site
from bot.settings import LOCAL_OWNER, Settings

# Below the folder that no site can have files in.
SCRIPT = ".well-known/deploystack/toolbar.js"
ON_OWN_HOST = f"/{SCRIPT}"
# Whether somebody goes to a page: https://www.w3.org/TR/fetch-metadata/#sec-fetch-dest-header
_VARY = ("Sec-Fetch-Dest",)
_LARGEST = 2 << 20  # bytes of a page; a larger one stays as it is
_OVERHEAD = 600  # bytes that Python needs to keep one entry
_CODE = (Path(__file__).parent / "toolbar.js").read_text()
_END = re.compile(rb"</body\s*>\s*(?:</html\s*>)?\s*\Z", re.IGNORECASE)
_TAIL = 200  # bytes in which a page's end is looked for
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Toolbar:
    """Shared by all requests of a process. `largest`: bytes that all pages kept may take."""

    def __init__(self, store: Contents, settings: Settings, largest: int) -> None:
        self._settings = settings
        self._pages = _Pages(store, largest)
        # What is made here lies in no store that a front server could send it from.
        self._answers = Answers(self._pages, self._pages, Front(""))

    def dress(
        self, answers: Answers, environ: Environ, file: ServedFile, base: str
    ) -> tuple[Answers, ServedFile]:
        """What to answer with, and who writes it: the page with a toolbar, or as it is."""
        said = {name.lower(): value.lower() for name, value in file.plain.headers}
        if not _is_page(said):
            return answers, file
        if _VARY[0].lower() not in said.get("vary", ""):  # a page by a rule's word alone
            file = file.varying(_VARY)
        chosen = choose(file, environ.get("HTTP_ACCEPT_ENCODING", ""))
        if environ.get("HTTP_SEC_FETCH_DEST") != "document" or file.plain.size > _LARGEST:
            return answers, file
        address = f"{base}{SCRIPT}"
        key = f"{file.plain.digest} {chosen.encoding} {address}"
        page = self._pages.page(key)
        return self._answers, ServedFile(file.name, _representation(key, page, chosen))

    def script(
        self, environ: Environ, start_response: StartResponse, site: Site, base: str
    ) -> Iterable[bytes]:
        """The script, with what there is to say of this deployment at this moment."""
        facts = toolbar.facts(site.deployment_id)
        said = _said(facts, self._settings, base) if facts is not None else {}
        # In ASCII: no line separator that a script could stumble over.
        body = _CODE.replace("FACTS", json.dumps(said), 1).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = [
            ("ETag", etag),
            ("Cache-Control", "no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Robots-Tag", "noindex"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ]
        if matches(environ.get("HTTP_IF_NONE_MATCH", ""), etag):
            start_response("304 Not Modified", headers)
            return []
        headers.append(("Content-Type", "text/javascript; charset=utf-8"))
        headers.append(("Content-Length", str(len(body))))
        start_response("200 OK", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@dataclass(frozen=True, slots=True)
class _Page:
    body: bytes
    etag: str


class _Pages:
    """Pages with a toolbar by `<digest> <coding> <script's address>`: least recently used first
    out, and made again when they are asked for again."""

    def __init__(self, store: Contents, largest: int) -> None:
        self._store = store
        self._room = largest
        self._used = 0
        self._kept: OrderedDict[str, _Page] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, key: str) -> _Page:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        body = self._made(key)
        page = _Page(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        with self._lock:
            if key not in self._kept:
                self._kept[key] = page
                self._used += len(body) + _OVERHEAD
            while self._used > self._room and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self._used -= len(dropped.body) + _OVERHEAD
        return page

    def get(self, digest: str, _size: int) -> bytes:
        return self.page(digest).body

    def open(self, digest: str) -> BinaryIO:
        return io.BytesIO(self.page(digest).body)

    def _made(self, key: str) -> bytes:
        digest, encoding, address = key.split(" ", 2)
        with self._store.open(digest) as file:
            body = with_script(file.read(), address)
        if not encoding:
            return body
        # Loads compressors, which a process without toolbars does not need.
        from bot.storage.variants import encoded

        return encoded(body, encoding)


def with_script(page: bytes, address: str) -> bytes:
    """A page that also loads the script at `address`, after all that is its own."""
    if page.startswith(_UTF_16):
        return page
    element = f'<script src="{escape(address)}"></script>'.encode()
    end = _END.search(page, max(0, len(page) - _TAIL))
    # Without an end to be seen: what comes after it belongs to the body all the same.
    # https://html.spec.whatwg.org/multipage/parsing.html#the-after-after-body-insertion-mode
    at = end.start() if end is not None else len(page)
    return page[:at] + element + page[at:]


def _is_page(said: Mapping[str, str]) -> bool:
    """Whether a browser shows it as a page, by the headers that it is answered with."""
    attached = said.get("content-disposition", "").startswith("attachment")
    return said.get("content-type", "").startswith("text/html") and not attached


def _representation(key: str, page: _Page, chosen: Representation) -> Representation:
    headers = [header for header in chosen.headers if header[0] != "ETag"]
    headers.append(("ETag", page.etag))
    size = len(page.body)
    return Representation(
        digest=key,
        size=size,
        encoding=chosen.encoding,
        etag=page.etag,
        headers=headers,
        whole=[*headers, ("Content-Length", str(size))],
        unchanged=[h for h in headers if h[0] not in {"Content-Type", "Content-Encoding"}],
    )


def _said(facts: toolbar.Facts, settings: Settings, base: str) -> dict[str, object]:
    short = facts.sha[:7] or "upload"
    rows = [
        ("Branch", facts.ref),
        ("Commit", facts.sha[:12]),
        ("Deployment", "" if facts.sha else facts.deployment_id),
        ("Status", facts.status),
    ]
    links = []
    if facts.pull_request and not facts.project.startswith(f"{LOCAL_OWNER}/"):
        url = f"{settings.GITHUB_SERVER_URL}/{facts.repository}/pull/{facts.pull_request}"
        links.append((url, f"Pull request {facts.pull_request}"))
    if facts.build_id:
        links.append((settings.build_url(facts.build_id), "Build"))
    if settings.DASHBOARD_PORT:
        url = f"{settings.DASHBOARD_URL}/projects/{facts.project_id}/deployments"
        links.append((f"{url}/{facts.deployment_id}", "Dashboard"))
    newer = settings.alias_url(facts.newer, alias_path(facts.newer)) if facts.newer else ""
    return {
        "project": facts.project,
        "title": f"{facts.ref} · {short}" if facts.ref else short,
        "rows": [row for row in rows if row[1]],
        "links": links,
        "newer": newer,
        "address": settings.deployment_url(facts.key),
        "base": base,
    }
