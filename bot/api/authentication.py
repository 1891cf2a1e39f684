"""Who is asking, and what they may do: bearer tokens, and the operator at the machine itself.

https://www.rfc-editor.org/rfc/rfc6750. There are no cookies and no sessions here:
previews share the origin by default, and their pages are hostile.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flask import Request

from bot import first_token
from bot.errors import UserError
from bot.models.database import Database
from bot.models.rights import Caller, of_token
from bot.models.tokens import Scope
from bot.settings import Settings

# A request with one of these comes from elsewhere, or out of a browser.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
_OF_BROWSERS = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Referer")


def authenticate(request: Request, settings: Settings, database: Database) -> Caller:
    """Raises `UserError`: `unauthorized`."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind:
        given = secret.strip() if kind.lower() == "bearer" else ""
        return of_token(first_token.accept(given, settings, database))
    if is_local(request, settings):
        return Caller(name="this machine", scope=Scope.ADMIN, key="local")
    raise UserError(
        "unauthorized",
        "This needs a token.",
        "Send `Authorization: Bearer <token>`; `deploystack tokens create` makes one.",
    )


def is_local(request: Request, settings: Settings) -> bool:
    """Whether a request was made on this machine, by a program that is no browser.

    Only in development, and only while the bot goes by a name of this machine: a bot
    with a public address asks everybody for a token. Browsers are left out because any
    page may have them send requests to this machine.
    """
    if settings.production or not _is_loopback(urlsplit(settings.PUBLIC_URL).hostname):
        return False
    if any(name in request.headers for name in (*_FORWARDED, *_OF_BROWSERS)):
        return False
    host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    return _is_loopback(request.remote_addr) and _is_loopback(host)


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
