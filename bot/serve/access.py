"""The gate in front of protected deployments: a password, or a signed link that expires.

Either gives a cookie for the deployment's own path. It guards against strangers; pages
on a shared origin can read one another, so protection is whole only where each
deployment has its own host (PREVIEW_DOMAIN).
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bot.models.access import Access, AccessKind, is_password
from bot.serve import pages
from bot.serve.address import quoted
from bot.serve.answers import Environ, StartResponse, page

PARAMETER = "_access"
_COOKIE = "deploystack_access"
_COOKIE_LIFE = 7 * 24 * 3600  # s
_LARGEST_FORM = 4096
# Attempts of one process at one project's password, in a minute.
_MOST_ATTEMPTS = 20
_MINUTE = 60.0


def share_query(access: Access, expires: int) -> str:
    """The query (`_access=…`) that lets its bearer in until `expires` (seconds since 1970)."""
    return urlencode({PARAMETER: _sign(access, "link", expires)})


@dataclass(slots=True)
class Gate:
    """Lets requests through to protected sites, or not. Shared by all of a process."""

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
        if self._valid(access, "link", dict(query).get(PARAMETER, "")):
            rest = urlencode([(name, value) for name, value in query if name != PARAMETER])
            target = f"{base}{quoted(path)}{f'?{rest}' if rest else ''}"
            return self._let_in(access, environ, start_response, base, target)
        if access.kind is not AccessKind.PASSWORD:
            text = "This deployment is not public. Ask its owner for a link that lets you in."
            return page(environ, start_response, 403, pages.page("Not public", text))
        if environ["REQUEST_METHOD"] == "POST":
            return self._try_password(access, environ, start_response, base, path)
        return _ask(environ, start_response, 401, "This deployment needs a password.")

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
        value = _sign(access, "cookie", int(self.clock()) + _COOKIE_LIFE)
        secure = "; Secure" if _is_secure(environ) else ""
        cookie = f"{_COOKIE}={value}; Path={base}; Max-Age={_COOKIE_LIFE}; HttpOnly; SameSite=Lax"
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

    def _valid(self, access: Access, purpose: str, token: str) -> bool:
        expires, _, _ = token.partition(".")
        if not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
            return False
        genuine = hmac.compare_digest(_sign(access, purpose, int(expires)), token)
        return genuine and int(expires) > self.clock()

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


def _sign(access: Access, purpose: str, expires: int) -> str:
    key = bytes.fromhex(access.signing_key)
    signature = hmac.new(key, f"{purpose}\n{expires}".encode(), hashlib.sha256).hexdigest()
    return f"{expires}.{signature}"


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
