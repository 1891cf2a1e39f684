"""One request for one path of one site: from the path to an answer.

405 → access → forced rules → file → canonical address → rules → listing
→ single-page fallback → 404
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from bot.serve import pages
from bot.serve.access import Gate, private
from bot.serve.address import quoted
from bot.serve.answers import Answers, Environ, StartResponse, choose, page, redirect, redirect_to
from bot.serve.rules import Asked, Hit
from bot.serve.rules.model import REDIRECTS
from bot.serve.site import Headers, Redirect, ServedFile, Site
from bot.serve.toolbar import SCRIPT, Toolbar

_METHODS = frozenset({"GET", "HEAD"})


@dataclass(slots=True)
class Visit:
    """`base` is where the site begins in this request's addresses; `path` is within it."""

    answers: Answers
    gate: Gate
    toolbar: Toolbar
    environ: Environ
    start_response: StartResponse
    base: str
    path: str

    def to(self, site: Site) -> Iterable[bytes]:
        """The site's answer."""
        if site.access is not None:
            barred = self.gate.answer(
                site.access, self.environ, self.start_response, self.base, self.path
            )
            if barred is not None:
                return barred
            self.start_response = private(self.start_response)
        if self.environ["REQUEST_METHOD"] not in _METHODS:
            return self.not_allowed()
        if site.toolbar and self.path == SCRIPT:
            return self.toolbar.script(self.environ, self.start_response, site, self.base)
        if site.rules.forced and (hit := site.rules.forced.match(self._asked())) is not None:
            return self._ruled(site, hit)
        found = site.find(self.path)
        if type(found) is ServedFile:
            return self._file(site, found)
        if type(found) is Redirect:
            site.traffic.add(308, 0)
            return redirect(self.environ, self.start_response, self.base + quoted(found.path), 308)
        if "\\" in self.path or "\0" in self.path or "�" in self.path:
            return self.page(400, pages.page("Bad request", "This is no valid path."))
        return self._otherwise(site)

    def not_allowed(self) -> Iterable[bytes]:
        body = pages.page("Not allowed", "A preview is read only: GET and HEAD.")
        return self.page(405, body, [("Allow", "GET, HEAD")])

    def page(self, status: int, body: bytes, headers: Headers | None = None) -> Iterable[bytes]:
        return page(self.environ, self.start_response, status, body, headers)

    def _otherwise(self, site: Site) -> Iterable[bytes]:
        if site.rules.redirects and (hit := site.rules.redirects.match(self._asked())) is not None:
            return self._ruled(site, hit)
        if site.rules.listing and (self.path == "" or self.path.endswith("/")):
            names = site.names_below(self.path)
            if names:
                site.traffic.add(200, 0)
                return self.page(200, pages.listing(self.path, names))
        if self.is_navigation():
            fallback = site.fallback_page(self.path)
            if fallback is not None:
                return self._file(site, fallback)
        return self._not_found(site)

    def _asked(self) -> Asked:
        environ = self.environ
        return Asked(
            path=f"/{self.path}",
            query=environ.get("QUERY_STRING", ""),
            country=environ.get("HTTP_CF_IPCOUNTRY", ""),
            accept_language=environ.get("HTTP_ACCEPT_LANGUAGE", ""),
        )

    def _ruled(self, site: Site, hit: Hit) -> Iterable[bytes]:
        """What a rule says: go elsewhere, or take another file."""
        vary = [("Vary", ", ".join(hit.vary))] if hit.vary else []
        if hit.status in REDIRECTS:
            site.traffic.add(hit.status, 0)
            target = hit.target if hit.leaves else self.base + hit.target.lstrip("/")
            headers = [("Cache-Control", "public, max-age=0, must-revalidate"), *vary]
            return redirect_to(self.start_response, target, hit.status, headers)
        path = unquote(hit.target.partition("?")[0].partition("#")[0])[1:]
        found = site.find(path)
        if type(found) is Redirect:  # a rewrite shows the page, wherever its address is
            found = site.find(found.path)
        if type(found) is not ServedFile and hit.status == 410:
            site.traffic.add(410, 0)
            return self.page(410, pages.page("Gone", "This page was taken away."))
        if type(found) is not ServedFile:
            return self._not_found(site)
        if site.rules.headers:
            found = site.served(found.name, self.path)
        if vary:
            found = found.varying(hit.vary)
        if hit.status != 200:
            return self._whole(site, found, hit.status)
        return self._file(site, found)

    def _file(self, site: Site, file: ServedFile) -> Iterable[bytes]:
        answers, file = self._dressed(site, file)
        return answers.file(self.environ, self.start_response, site, file)

    def _dressed(self, site: Site, file: ServedFile) -> tuple[Answers, ServedFile]:
        """What to answer with, and who writes it: with a toolbar, where the project wants one."""
        if not site.toolbar:
            return self.answers, file
        return self.toolbar.dress(self.answers, self.environ, file, self.base)

    def _not_found(self, site: Site) -> Iterable[bytes]:
        own = site.not_found_page(self.path)
        if own is not None:
            return self._whole(site, own, 404)
        site.traffic.add(404, 0)
        text = f"This deployment has no file /{self.path}."
        return self.page(404, pages.page("Not found", text, link=(self.base, "Its start")))

    def _whole(self, site: Site, file: ServedFile, status: int) -> Iterable[bytes]:
        answers, file = self._dressed(site, file)
        chosen = choose(file, self.environ.get("HTTP_ACCEPT_ENCODING", ""))
        line = {404: "404 Not Found", 410: "410 Gone"}[status]
        return answers.whole(self.environ, self.start_response, site, chosen, line)

    def is_navigation(self) -> bool:
        """Whether a person goes to a page, rather than a page asking for a part of itself."""
        name = self.path.rpartition("/")[2]
        return "." not in name and "text/html" in self.environ.get("HTTP_ACCEPT", "")
