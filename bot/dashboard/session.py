"""Who is signed in to the dashboard, and whether a request really comes from its pages.

The session's cookie is for this host alone, never sent along from other sites, and out
of scripts' reach. That is not all that is relied on: cookies do not know ports, and
programs on one host can set one another's. So the dashboard has a host name of its own,
which previews refuse to answer to; every change is asked for with the page's own token
and from the dashboard's own origin; and of two cookies of one name none counts.

https://datatracker.ietf.org/doc/draft-ietf-httpbis-rfc6265bis/ (section 8.6)
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bot import first_token
from bot.cookies import only_cookie
from bot.models import audit, sessions
from bot.models.database import Database
from bot.models.rights import Caller, of_token
from bot.settings import Settings

FIELD = "csrf"
_SAFE = frozenset({"GET", "HEAD"})
# There are no scripts: whatever gets into a page, nothing of it runs.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: forms would be sent with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Sessions:
    """Signs in, signs out, and guards every request of an application."""

    def __init__(self, settings: Settings, database: Database) -> None:
        own = urlsplit(settings.DASHBOARD_URL)
        self._settings = settings
        self._database = database
        self._url = settings.DASHBOARD_URL
        self._origin = f"{own.scheme}://{own.netloc}"
        self._host = own.netloc.lower()
        self._secure = own.scheme == "https"
        # The prefix has browsers refuse this name from anybody but this very host.
        self._cookie = "__Host-deploystack" if self._secure else "deploystack"

    def guard(self, application: Flask) -> None:
        @application.before_request
        def check() -> AnyResponse | None:
            if request.host.lower() != self._host:
                return self._elsewhere()
            if request.method not in _SAFE:
                self._require_own_page()
            secret = only_cookie(request.headers.get("Cookie", ""), self._cookie)
            g.secret, g.caller = secret, self._caller(secret)
            if g.caller is None and request.endpoint not in {"pages.sign_in", "static"}:
                return self._bounce() or redirect("/sign-in", 303)
            if request.method not in _SAFE and g.caller is not None:
                self._require_token(request.form.get(FIELD, ""))
            return None

        @application.after_request
        def protect(response: Response) -> Response:
            for name, value in _HEADERS.items():
                response.headers[name] = value
            return response

        @application.context_processor
        def own() -> dict[str, object]:
            return {"who": g.get("caller"), "csrf": _token_of(g.get("secret", ""))}

    def sign_in(self, token_secret: str) -> AnyResponse:
        """Begin a session by an API token. Raises `UserError`: `unauthorized`."""
        token = first_token.accept(token_secret.strip(), self._settings, self._database)
        with self._database.write():
            secret = sessions.begin(token.id)
            audit.note(of_token(token).name, "dashboard.sign-in", token.id)
        response = redirect("/", 303)
        response.set_cookie(
            self._cookie,
            secret,
            max_age=sessions.LIFE // 1000,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )
        return response

    def sign_out(self) -> AnyResponse:
        with self._database.write():
            sessions.end(g.secret)
        response = redirect("/sign-in", 303)
        response.delete_cookie(
            self._cookie, path="/", secure=self._secure, httponly=True, samesite="Strict"
        )
        return response

    def _caller(self, secret: str) -> Caller | None:
        token = sessions.token_of(secret) if secret else None
        return of_token(token) if token is not None else None

    def _elsewhere(self) -> AnyResponse:
        """Somebody came by another name of this host: there the cookie would not be alone."""
        if request.method in _SAFE:
            return redirect(f"{self._url}/", 302)
        return abort(421)

    def _require_own_page(self) -> None:
        """Changes are asked for by the dashboard's own pages.

        https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
        """
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if request.headers.get("Origin") != self._origin or site != "same-origin":
            abort(403)

    def _require_token(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(), _token_of(g.secret).encode()):
            abort(403)

    def _bounce(self) -> AnyResponse | None:
        """Whoever follows a link from another site comes without the cookie, which is
        for requests from here: so let the page be asked for from here."""
        if (
            request.headers.get("Sec-Fetch-Site") == "cross-site"
            and request.headers.get("Sec-Fetch-Dest") == "document"
            and request.method == "GET"
        ):
            return Response(
                '<!doctype html><meta http-equiv="refresh" content="0"><title>DeployStack</title>'
            )
        return None


def _token_of(secret: str) -> str:
    """What a session's forms carry: known to its pages alone, and not the session itself."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest() if secret else ""
