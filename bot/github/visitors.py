"""Visitors of protected previews who sign in with GitHub: whoever has access to the
repository comes in.

GitHub's web flow with state and PKCE. The user's token is asked one question, kept
nowhere, and given back. What it comes to is a ticket, good for a minute, with which the
preview's own host lets the browser in (`bot.serve.access`).

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from bot.cookies import only_cookie
from bot.errors import DeployStackError, SystemFault, UserError
from bot.models import access as accesses
from bot.models.access import Access, AccessKind, access_of, is_signed, sign
from bot.models.tables import Project
from bot.project_name import repository_of
from bot.serve import pages
from bot.serve.answers import page
from bot.settings import Settings

logger = logging.getLogger(__name__)

PREFIX = "/_deploystack/github/"
_COOKIE = "deploystack_state"
_LIFE = 600  # s that somebody may take at GitHub
_TICKET_LIFE = 60  # s
_TIMEOUT = 12  # s
_Headers = list[tuple[str, str]]


def visitors_application(
    settings: Settings, clock: Callable[[], float] = time.time
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The WSGI application of all paths below `PREFIX`."""
    flow = _Flow(settings, clock)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        step = environ["PATH_INFO"].removeprefix(PREFIX)
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        try:
            if environ["REQUEST_METHOD"] != "GET" or not settings.GITHUB_CLIENT_ID:
                raise UserError("not-found", "There is nothing here.")
            if step == "sign-in":
                target, headers = flow.begin(query)
            elif step == "callback":
                nonce = only_cookie(environ.get("HTTP_COOKIE", ""), _COOKIE)
                target, headers = flow.end(query, nonce)
            else:
                raise UserError("not-found", "There is nothing here.")
        except DeployStackError as error:
            status = 503 if isinstance(error, SystemFault) else 403
            text = f"{error.message} {error.hint}".strip()
            return page(environ, start, status, pages.page("Not let in", text))
        common = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
        start("303 See Other", [("Location", target), *headers, *common, ("Content-Length", "0")])
        return []

    return application


class _Flow:
    """The two halves of a sign-in; each answers where to go and with which headers."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._callback = f"{settings.PUBLIC_URL}{PREFIX}callback"

    def begin(self, query: dict[str, str]) -> tuple[str, _Headers]:
        """To GitHub. `query` is what the gate in front of the preview has signed."""
        project, access = _protected(query.get("project", ""))
        to, base = query.get("to", ""), query.get("base", "")
        bound = accesses.bound_to(to, base)
        if not is_signed(access, "sign-in", query.get("sign", ""), self._clock(), bound):
            raise UserError("expired", "This link has expired.", "Open the preview again.")
        nonce = secrets.token_urlsafe(32)
        payload = _encoded(json.dumps([project.id, to, base]).encode())
        expires = int(self._clock()) + _LIFE
        state = f"{payload}.{sign(access, 'state', expires, payload + nonce)}"
        challenge = _encoded(hashlib.sha256(_verifier(access, nonce).encode()).digest())
        asked = {
            "client_id": self._settings.GITHUB_CLIENT_ID,
            "redirect_uri": self._callback,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "allow_signup": "false",
        }
        if project.private:
            # For OAuth apps alone; a GitHub App's permissions are its own.
            asked["scope"] = "repo"
        secure = "; Secure" if self._settings.PUBLIC_URL.startswith("https:") else ""
        cookie = f"{_COOKIE}={nonce}; Path={PREFIX}; Max-Age={_LIFE}; HttpOnly; SameSite=Lax"
        url = f"{self._settings.GITHUB_SERVER_URL}/login/oauth/authorize?{urlencode(asked)}"
        return url, [("Set-Cookie", cookie + secure)]

    def end(self, query: dict[str, str], nonce: str) -> tuple[str, _Headers]:
        """Back from GitHub: to the preview, with a ticket. Raises `UserError`, `SystemFault`."""
        payload, _, signature = query.get("state", "").partition(".")
        project_id, to, base = _decoded(payload)
        project, access = _protected(str(project_id))
        genuine = is_signed(access, "state", signature, self._clock(), payload + nonce)
        if not nonce or not genuine:
            raise UserError("expired", "This sign-in has expired.", "Open the preview again.")
        if "code" not in query:
            raise UserError("refused", "GitHub was not allowed to say who you are.")
        token = self._token(query["code"], _verifier(access, nonce))
        try:
            if not self._has_access(repository_of(project.name), token):
                raise UserError(
                    "no-access", f"Your GitHub account has no access to {project.name}."
                )
        finally:
            self._give_back(token)
        ticket = sign(access, "ticket", int(self._clock()) + _TICKET_LIFE, base)
        separator = "&" if urlsplit(to).query else "?"
        done = f"{_COOKIE}=; Path={PREFIX}; Max-Age=0; HttpOnly; SameSite=Lax"
        return f"{to}{separator}{urlencode({'_access': ticket})}", [("Set-Cookie", done)]

    def _token(self, code: str, verifier: str) -> str:
        answer = self._ask(
            "POST",
            f"{self._settings.GITHUB_SERVER_URL}/login/oauth/access_token",
            json={
                "client_id": self._settings.GITHUB_CLIENT_ID,
                "client_secret": self._settings.GITHUB_CLIENT_SECRET.reveal(),
                "code": code,
                "redirect_uri": self._callback,
                "code_verifier": verifier,
            },
        )
        found = answer.json() if answer.ok else {}
        token = found.get("access_token") if isinstance(found, dict) else None
        if not isinstance(token, str) or not token:
            raise UserError("refused", "GitHub did not accept the sign-in.", "Try again.")
        return token

    def _has_access(self, repository: str, token: str) -> bool:
        """Whether somebody is let into a repository: anybody whom GitHub shows a private
        one, and of a public one, which it shows to all, those who may triage it.

        https://docs.github.com/en/rest/repos/repos#get-a-repository
        """
        url = f"{self._settings.GITHUB_API_URL}/repos/{repository}"
        answer = self._ask("GET", url, headers={"Authorization": f"Bearer {token}"})
        if not answer.ok:
            return False
        found = answer.json()
        if found.get("private") is True:
            return True
        permissions = found.get("permissions") or {}
        return any(
            permissions.get(name) is True for name in ("admin", "maintain", "push", "triage")
        )

    def _give_back(self, token: str) -> None:
        """https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token"""
        client = self._settings.GITHUB_CLIENT_ID
        with contextlib.suppress(SystemFault):
            self._ask(
                "DELETE",
                f"{self._settings.GITHUB_API_URL}/applications/{client}/token",
                auth=(client, self._settings.GITHUB_CLIENT_SECRET.reveal()),
                json={"access_token": token},
            )

    def _ask(self, method: str, url: str, **given: Any) -> requests.Response:
        """Raises `SystemFault` where GitHub cannot be asked."""
        headers = {"Accept": "application/json", "User-Agent": "DeployStack"}
        headers |= given.pop("headers", {})
        try:
            answer = requests.request(
                method, url, headers=headers, timeout=_TIMEOUT, allow_redirects=False, **given
            )
        except requests.RequestException as error:
            logger.warning("a visitor's sign-in: GitHub cannot be asked: %s", error)
            raise SystemFault("github-unreachable", "GitHub cannot be reached now.") from error
        if answer.status_code >= 500:
            raise SystemFault("github-unreachable", "GitHub does not answer now.")
        return answer


def _protected(project_id: str) -> tuple[Project, Access]:
    """A project whose visitors sign in with GitHub. Raises `UserError`."""
    known = project_id.isascii() and project_id.isdecimal() and len(project_id) < 16
    project: Project | None = Project.get_or_none(Project.id == int(project_id)) if known else None
    access = access_of(project.id) if project is not None else None
    if project is None or access is None or access.kind is not AccessKind.GITHUB:
        raise UserError("expired", "This link leads nowhere (any more).", "Open the preview again.")
    return project, access


def _verifier(access: Access, nonce: str) -> str:
    """PKCE's secret (https://www.rfc-editor.org/rfc/rfc7636), which never leaves the bot."""
    key = bytes.fromhex(access.signing_key)
    return hmac.new(key, f"verifier\n{nonce}".encode(), hashlib.sha256).hexdigest()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(payload: str) -> tuple[int, str, str]:
    try:
        raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        project_id, to, base = json.loads(raw)
    except (binascii.Error, ValueError, TypeError):
        raise UserError("expired", "This sign-in leads nowhere.") from None
    return project_id, str(to), str(base)
