"""The gate in front of protected deployments: a password, a signed link, or GitHub's word.

Each gives a cookie for the deployment's own path. It guards against strangers; pages
on a shared origin can read one another, so protection is whole only where each
deployment has its own host (PREVIEW_DOMAIN).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from bot.models.access import Access, AccessKind, bound_to, is_password, is_signed, sign
from bot.serve import pages
from bot.serve.address import ACCESS_PARAMETER, host_name, label_of, quoted
from bot.serve.answers import Environ, StartResponse, page
from bot.settings import Settings

_COOKIE = "deploystack_access"
_COOKIE_LIFE = 7 * 24 * 3600  # s
# Whoever loses access to a repository is let in for a day at most.
_GITHUB_LIFE = 24 * 3600  # s
_LINK_LIFE = 3600  # s
_LARGEST_FORM = 4096
# Attempts of one process at one project's password, in a minute.
_MOST_ATTEMPTS = 20
_MINUTE = 60.0


def share_query(access: Access, expires: int) -> str:
    """The query (`_access=…`) that lets its bearer in until `expires` (seconds since 1970)."""
    return urlencode({ACCESS_PARAMETER: sign(access, "link", expires)})


@dataclass(slots=True)
class Gate:
    """Lets requests through to protected sites, or not. Shared by all of a process."""

    settings: Settings
    clock: Callable[[], float] = time.time
    _attempts: dict[str, deque[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self, access: Access, environ: Environ, start_response: StartResponse, base: str, path: str
    ) -> Iterable[bytes] | None:
        """What stands in the request's way; `None`: nothing does."""
        if self._valid(access, "cookie", _cookie(environ)):
            return None
        query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        given = dict(query).get(ACCESS_PARAMETER, "")
        if self._valid(access, "link", given) or (
            access.kind is AccessKind.GITHUB
            and self._valid(access, "ticket", given, self._origin(environ, base) + base)
        ):
            others = [(name, value) for name, value in query if name != ACCESS_PARAMETER]
            rest = urlencode(others)
            target = f"{base}{quoted(path)}{f'?{rest}' if rest else ''}"
            return self._let_in(access, environ, start_response, base, target)
        if access.kind is AccessKind.GITHUB and self.settings.GITHUB_CLIENT_ID:
            return self._lead_to_github(access, environ, start_response, base, path)
        if access.kind is not AccessKind.PASSWORD:
            text = "This deployment is not public. Ask its owner for a link that lets you in."
            return page(environ, start_response, 403, pages.page("Not public", text))
        if environ["REQUEST_METHOD"] == "POST":
            return self._try_password(access, environ, start_response, base, path)
        return _ask(environ, start_response, 401, "This deployment needs a password.")

    def _lead_to_github(
        self, access: Access, environ: Environ, start_response: StartResponse, base: str, path: str
    ) -> Iterable[bytes]:
        """A link to where visitors sign in (`bot.github.visitors`), which leads back here."""
        site = self._origin(environ, base) + base
        query = environ.get("QUERY_STRING", "")
        to = f"{site}{quoted(path)}{f'?{query}' if query else ''}"
        expires = int(self.clock()) + _LINK_LIFE
        asked = {
            "project": access.project_id,
            "to": to,
            "base": site,
            "sign": sign(access, "sign-in", expires, bound_to(to, site)),
        }
        url = f"{self.settings.PUBLIC_URL}/_deploystack/github/sign-in?{urlencode(asked)}"
        text = "Whoever has access to its repository on GitHub may look at this deployment."
        body = pages.page("Not public", text, link=(url, "Sign in with GitHub"))
        challenge = [("WWW-Authenticate", 'Form realm="preview"')]
        return page(environ, start_response, 401, body, challenge)

    def _origin(self, environ: Environ, base: str) -> str:
        """Where the visitor is; never a host that only the request itself speaks of, since
        a ticket will be sent there."""
        public = urlsplit(self.settings.PUBLIC_URL)
        host = environ.get("HTTP_HOST", "").lower()
        previews = f"{public.hostname}:{self.settings.PREVIEW_PORT}"
        below = label_of(host_name(host), self.settings.PREVIEW_DOMAIN.lower())
        # At `/` a site is found by its host alone, so that host is known to be ours.
        if host != public.netloc and (base == "/" or below or host == previews):
            return f"{'https' if _is_secure(environ) else 'http'}://{host}"
        return self.settings.PUBLIC_URL

    def _try_password(
        self, access: Access, environ: Environ, start_response: StartResponse, base: str, path: str
    ) -> Iterable[bytes]:
        if not self._may_try(access.signing_key):
            return _ask(environ, start_response, 429, "Too many attempts. Wait a minute.")
        if not is_password(_form(environ).get("password", ""), access.password):
            return _ask(environ, start_response, 401, "That is not the password.")
        return self._let_in(access, environ, start_response, base, base + quoted(path))

    def _let_in(
        self,
        access: Access,
        environ: Environ,
        start_response: StartResponse,
        base: str,
        target: str,
    ) -> Iterable[bytes]:
        life = _GITHUB_LIFE if access.kind is AccessKind.GITHUB else _COOKIE_LIFE
        value = sign(access, "cookie", int(self.clock()) + life)
        secure = "; Secure" if _is_secure(environ) else ""
        cookie = f"{_COOKIE}={value}; Path={base}; Max-Age={life}; HttpOnly; SameSite=Lax"
        start_response(
            "303 See Other",
            [
                ("Location", "/" + target.lstrip("/\\")),
                ("Set-Cookie", cookie + secure),
                ("Cache-Control", "no-store"),
                ("Referrer-Policy", "no-referrer"),
                ("Content-Type", "text/plain"),
                ("Content-Length", "0"),
            ],
        )
        return []

    def _valid(self, access: Access, purpose: str, token: str, bound: str = "") -> bool:
        return is_signed(access, purpose, token, self.clock(), bound)

    def _may_try(self, project: str) -> bool:
        moment = self.clock()
        with self._lock:
            attempts = self._attempts.setdefault(project, deque())
            while attempts and attempts[0] < moment - _MINUTE:
                attempts.popleft()
            attempts.append(moment)
            return len(attempts) <= _MOST_ATTEMPTS


def private(start_response: StartResponse) -> StartResponse:
    """Keeps shared caches from keeping what only some may see."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        kept = [header for header in headers if header[0] not in {"Cache-Control", "Vary"}]
        vary = [value for name, value in headers if name == "Vary"]
        cached = ("Cache-Control", "private, no-cache")
        return start_response(
            status, [*kept, cached, ("Vary", ", ".join([*vary, "Cookie"]))], *rest
        )

    return start


def _cookie(environ: Environ) -> str:
    try:
        found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _form(environ: Environ) -> dict[str, str]:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > _LARGEST_FORM:
        return {}
    body = environ["wsgi.input"].read(int(length))
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _is_secure(environ: Environ) -> bool:
    forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "")
    return bool(environ.get("wsgi.url_scheme") == "https" or forwarded == "https")


def _ask(
    environ: Environ, start_response: StartResponse, status: int, text: str
) -> Iterable[bytes]:
    form = (
        f'<form method="post"><p><label>{escape("Password")} <input type="password" '
        'name="password" autocomplete="current-password" required autofocus></label> '
        "<button>Enter</button></p></form>"
    )
    headers = [("WWW-Authenticate", 'Form realm="preview"')] if status == 401 else []
    body = pages.page("Not public", text, inner=form)
    return page(environ, start_response, status, body, headers)
