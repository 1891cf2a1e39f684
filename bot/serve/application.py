"""The WSGI layer ahead of everything: answers for previews, hands on all else.

    __call__ → key in host or path → site in memory → visit

It runs no code of a deployment and rewrites no file. It is not in charge of what a
path means within a deployment (`site`, `rules`), nor of how answers are written
(`answers`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl, urlsplit

from bot.cache import open_cache
from bot.errors import SystemFault
from bot.events import Bus
from bot.models import coming
from bot.models import resolve as queries
from bot.serve import pages, provenance
from bot.serve.access import Gate
from bot.serve.address import (
    FULL_KEY,
    SHA_PREFIX,
    alias_path,
    base_of_referer,
    decoded,
    host_name,
    label_of,
    quoted,
)
from bot.serve.answers import Answers, Environ, StartResponse, WsgiApplication, page, redirect
from bot.serve.answers import redirect_to as redirect_elsewhere
from bot.serve.bodies import Bodies
from bot.serve.front import Front
from bot.serve.lookups import SharedLookups
from bot.serve.resolve import Aliases, Sites
from bot.serve.site import Site
from bot.serve.toolbar import ON_OWN_HOST, Toolbar
from bot.serve.traffic import TrafficBook
from bot.serve.visit import Visit
from bot.serve.waiting import Waiting
from bot.settings import Settings
from bot.storage.store import Store

logger = logging.getLogger(__name__)

_NO_STORE = ("Cache-Control", "no-store")
# A host given by its number is never a custom domain.
_ADDRESS = re.compile(r"[0-9.]+|\[[0-9a-f:.]+\]")
_NO_ALIAS = (
    "No deployment of this branch is live. Addresses of this form are "
    "/~/<project>/<branch>/, with everything but letters and digits written as a hyphen."
)
_PORT = re.compile(r":[0-9]+$")


class Previews:
    """`/<sha>/…`, `/<deployment id>/…` and their host forms; `fallback` answers the rest."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        bus: Bus,
        fallback: WsgiApplication,
    ) -> None:
        self._settings = settings
        self._fallback = fallback
        self._domain = settings.PREVIEW_DOMAIN.lower()
        own = urlsplit(settings.PUBLIC_URL)
        self._dashboard = urlsplit(settings.DASHBOARD_URL).hostname or ""
        self._own_hosts = frozenset(
            {"", "localhost", own.netloc.lower(), own.hostname or "", self._domain, settings.HOST}
        ) - {self._dashboard}
        changes = queries.Changes()
        self._aliases = Aliases(queries.by_alias, changes.version)
        # An eighth is for what lies waste between what is kept and what was let go.
        half = settings.PREVIEW_CACHE_SIZE * 7 // 16
        self.traffic = TrafficBook(bus)
        find = _lookups(settings)
        self._sites = Sites(store, find, changes.version, self.traffic, half)
        self._answers = Answers(store, Bodies(store, half), Front(settings.ACCEL_LOCATION))
        self._gate = Gate(settings)
        self._toolbar = Toolbar(store, settings, settings.PREVIEW_CACHE_SIZE // 16)
        self._waiting = Waiting(settings)
        self._provenance = provenance.Provenance(store, self._gate)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._answer(environ, start_response)
        except (SystemFault, FileNotFoundError) as fault:
            # What is published is there: it can only not be read at this moment.
            logger.error("%s cannot be answered: %r", environ.get("PATH_INFO"), fault)  # noqa: TRY400
            body = pages.page("Unavailable", "This cannot be read just now. Try again in a moment.")
            return page(environ, start_response, 503, body, [("Retry-After", "2")])

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO") or "/"
        if not path.isascii():
            path = decoded(path)
        host = environ.get("HTTP_HOST", "")
        site_key = ""
        if host not in self._own_hosts:
            if host_name(host) == self._dashboard:
                return _misdirected(environ, start_response)
            site_key = self._key_of_host(host)
        if path.startswith(provenance.PREFIX) and path != ON_OWN_HOST:
            return self._proven(environ, start_response, path, site_key)
        if site_key:
            return self._by_host(environ, start_response, site_key, path)
        key, slash, rest = path[1:].partition("/")
        if key == "~":
            return self._by_alias(environ, start_response, path)
        site = self._sites.ready(key)
        if site is None and FULL_KEY.fullmatch(key) is None:
            return self._not_a_key(environ, start_response, path, key, rest)
        if not slash:
            return redirect(environ, start_response, f"/{key}/", 308)
        visit = self._visit(environ, start_response, f"/{key}/", rest)
        site = site or self._site(key)
        if site is None:
            return self._unserved(key, visit)
        if self._domain and site.base == "/":
            return self._to_host(visit, key)
        return visit.to(site)

    def _proven(
        self, environ: Environ, start_response: StartResponse, path: str, site_key: str
    ) -> Iterable[bytes]:
        """Provenance: the bot's word on every host, whatever files a site has."""
        asked = provenance.asked(path, site_key)
        if asked is None or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return provenance.nothing(environ, start_response)
        key = self._aliases.find(asked.alias) if asked.alias else asked.key
        site = self._site(key) if key else None
        return self._provenance.answer(asked, site, environ, start_response)

    def _key_of_host(self, header: str) -> str:
        """The key that a Host header means; empty: it is the bot's own, or nobody's."""
        host = host_name(header)
        if host in self._own_hosts or _ADDRESS.fullmatch(host):
            return ""
        label = label_of(host, self._domain) if self._domain else ""
        if not label:
            return self._aliases.find(host)
        if FULL_KEY.fullmatch(label):
            return label
        return self._aliases.find(label) or label

    def _by_host(
        self, environ: Environ, start_response: StartResponse, key: str, path: str
    ) -> Iterable[bytes]:
        """`<sha>.<domain>`, an alias's or a custom domain: the site begins at `/`."""
        visit = self._visit(environ, start_response, "/", path[1:])
        if FULL_KEY.fullmatch(key) is None:
            return self._not_yet(key, visit, pages.no_deployment())
        site = self._site(key)
        if site is None:
            return self._unserved(key, visit)
        # A build made for `/<sha>/` asks for its parts there, on its own host too.
        if site.base != "/" and path.startswith(site.base):
            visit.base, visit.path = site.base, path[len(site.base) :]
        return visit.to(site)

    def _by_alias(
        self, environ: Environ, start_response: StartResponse, path: str
    ) -> Iterable[bytes]:
        """`/~/<project>/<branch>/…`: whatever the alias leads to now."""
        alias = alias_path(path)
        if alias is None:
            return self._fallback(environ, start_response)
        if not alias.slash:
            return redirect(environ, start_response, quoted(alias.base), 308)
        key = self._aliases.find(alias.address)
        visit = self._visit(environ, start_response, quoted(alias.base), alias.rest)
        if not key:
            return self._not_yet(alias.address, visit, pages.page("Not found", _NO_ALIAS))
        site = self._site(key)
        if site is None:
            return self._unserved(key, visit)
        if self._answers.is_bound(site):
            # Its own links and routes are made for its base path, and for that alone.
            target = site.base + quoted(alias.rest)
            return redirect(environ, start_response, target, 302, [_NO_STORE])
        return visit.to(site)

    def _visit(
        self, environ: Environ, start_response: StartResponse, base: str, path: str
    ) -> Visit:
        return Visit(self._answers, self._gate, self._toolbar, environ, start_response, base, path)

    def _to_host(self, visit: Visit, key: str) -> Iterable[bytes]:
        """A build made for `/` works on its own host alone."""
        scheme = urlsplit(self._settings.PUBLIC_URL).scheme
        port = _PORT.search(visit.environ.get("HTTP_HOST", ""))
        host = f"{key}.{self._domain}{port.group() if port else ''}"
        query = visit.environ.get("QUERY_STRING")
        target = f"{scheme}://{host}/{quoted(visit.path)}{f'?{query}' if query else ''}"
        return redirect_elsewhere(visit.start_response, target, 302)

    def _site(self, key: str) -> Site | None:
        """The site of a key, if it is live."""
        site = self._sites.ready(key)
        if site is None and (candidates := self._sites.look_up(key)):
            site = self._sites.load(key, candidates[0])
        return site

    def _unserved(self, key: str, visit: Visit) -> Iterable[bytes]:
        """Why a key has no site: there is none, or not yet, or no longer."""
        candidates = self._sites.look_up(key)
        if not candidates:
            return self._waiting.unknown(key, visit)
        return self._waiting.not_ready(candidates[0], visit)

    def _not_yet(self, address: str, visit: Visit, otherwise: bytes) -> Iterable[bytes]:
        """An alias that nothing live has: perhaps the first deployment of it is on its way."""
        key = coming.deployment_for(address)
        return self._unserved(key, visit) if key else visit.page(404, otherwise)

    def _not_a_key(
        self, environ: Environ, start_response: StartResponse, path: str, key: str, rest: str
    ) -> Iterable[bytes]:
        if SHA_PREFIX.fullmatch(key):
            return self._by_prefix(environ, start_response, key, rest)
        if path == "/_deploystack/known-host":
            return self._known_host(environ, start_response)
        if "HTTP_REFERER" in environ:
            return self._by_referer(environ, start_response, path)
        return self._fallback(environ, start_response)

    def _known_host(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """For Caddy: whether to get a certificate for `?domain=`, which anybody may ask for.

        https://caddyserver.com/docs/automatic-https#on-demand-tls
        """
        domain = dict(parse_qsl(environ.get("QUERY_STRING", ""))).get("domain", "")
        host = host_name(domain)
        key = self._key_of_host(host)
        known = host in self._own_hosts - {""} or (
            FULL_KEY.fullmatch(key) is not None and bool(self._sites.look_up(key))
        )
        body = b"known\n" if known else b"unknown\n"
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), _NO_STORE]
        start_response("200 OK" if known else "404 Not Found", headers)
        return [body]

    def _by_prefix(
        self, environ: Environ, start_response: StartResponse, prefix: str, rest: str
    ) -> Iterable[bytes]:
        """A unique beginning of a SHA leads to the whole of it."""
        found = {found.sha: found.project for found in self._sites.look_up(prefix)}
        if not found:
            return page(environ, start_response, 404, pages.no_deployment())
        if len(found) == 1:
            (sha,) = found
            return redirect(environ, start_response, f"/{sha}/{quoted(rest)}", 302, [_NO_STORE])
        body = pages.choices(prefix, sorted(found.items()))
        return page(environ, start_response, 300, body)

    def _by_referer(
        self, environ: Environ, start_response: StartResponse, path: str
    ) -> Iterable[bytes]:
        """A preview's page that asks for `/logo.png` means its own, not the host's.

        The last resort for builds that could not be told their base path. Redirected
        rather than answered, so that what the file itself refers to is found as well,
        and nothing is cached under an address that means another file elsewhere.
        """
        target = base_of_referer(environ["HTTP_REFERER"], environ.get("HTTP_HOST", ""))
        # A service worker at the root would control every other preview of this host.
        worker = environ.get("HTTP_SERVICE_WORKER") or (
            environ.get("HTTP_SEC_FETCH_DEST") == "serviceworker"
        )
        if target is None or worker or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return self._fallback(environ, start_response)
        key, base = target
        if base.startswith("/~/"):
            key = self._aliases.find(key)
        site = self._site(key)
        if site is None or site.find(path[1:]) is None:
            return self._fallback(environ, start_response)
        headers = [_NO_STORE, ("Vary", "Referer")]
        return redirect(environ, start_response, base + quoted(path[1:]), 302, headers)


def _lookups(settings: Settings) -> Callable[[str], list[queries.Found]]:
    """SQLite is asked as quickly as a cache, and only there everybody sees every change."""
    cache = open_cache(settings.CACHE_URL)
    if cache.shared and not settings.DATABASE_URL.startswith("sqlite:"):
        return SharedLookups(queries.by_key, cache)
    return queries.by_key


def _misdirected(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """By the dashboard's name nothing is served here: a preview's page under it could
    set the dashboard's cookies, which do not know ports.

    https://www.rfc-editor.org/rfc/rfc9110#name-421-misdirected-request
    """
    body = pages.page("Not here", "By this name the dashboard is reached, at its own port.")
    return page(environ, start_response, 421, body)
