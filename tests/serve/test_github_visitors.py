"""Visitors who sign in with GitHub, against a GitHub that speaks real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import make_server

import pytest

from bot.events import Bus
from bot.github.visitors import visitors_application
from bot.models.access import AccessKind, protect
from bot.serve.application import Previews
from bot.settings import Settings
from bot.storage.disk import DiskStore
from tests.serve.conftest import SHA, Answer, Deployer, Host, _Quiet, _Server
from tests.serve.test_processes import free_port

BASE = f"/{SHA}/"


@dataclass
class GitHub:
    """Just so much of GitHub: its sign-in, one repository, and who may what in it."""

    url: str = ""
    private: bool = True
    permissions: dict[str, bool] | None = None  # None: the repository is not shown at all
    broken: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def authorize(self, url: str) -> tuple[str, dict[str, str]]:
        """What a user's consent comes to: (code, what the bot asked for)."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == self.url
        assert parts.path == "/login/oauth/authorize"
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = given
        return code, given

    def exchange(self, body: dict[str, str]) -> dict[str, str]:
        """A code is good once, for whoever began the sign-in (RFC 7636)."""
        begun = self.codes.pop(body["code"], None)
        digest = hashlib.sha256(body["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            begun is None
            or begun["code_challenge"] != challenge
            or begun["redirect_uri"] != body["redirect_uri"]
            or (body["client_id"], body["client_secret"]) != ("Iv1.x", "s3cret")
        ):
            return {"error": "bad_verification_code"}
        token = f"ghu_{len(self.asked)}"
        self.tokens.add(token)
        return {"access_token": token, "token_type": "bearer"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    found = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: Any = None) -> None:
            found.asked.append(f"{self.command} {self.path}")
            raw = json.dumps(body).encode() if body is not None else b""
            self.send_response(500 if found.broken else status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def body(self) -> dict[str, str]:
            read: dict[str, str] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return read

        def do_POST(self) -> None:
            self.answer(200, found.exchange(self.body()))

        def do_GET(self) -> None:
            token = self.headers["Authorization"].removeprefix("Bearer ")
            shown = self.path == "/repos/octo/site" and token in found.tokens
            if not shown or found.permissions is None:
                self.answer(404, {"message": "Not Found"})
            else:
                self.answer(200, {"private": found.private, "permissions": found.permissions})

        def do_DELETE(self) -> None:
            expected = base64.b64encode(b"Iv1.x:s3cret").decode()
            assert self.headers["Authorization"] == f"Basic {expected}"
            found.tokens.discard(self.body()["access_token"])
            self.answer(204)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def gate(
    github: GitHub,
    deployer: Deployer,
    store: DiskStore,
    make_settings: Callable[..., Settings],
) -> Iterator[Host]:
    """A host with a deployment for those whom GitHub lets into `octo/site`."""
    port = free_port()
    settings = make_settings(
        PORT=port, GITHUB_SERVER_URL=github.url, GITHUB_API_URL=github.url,
        GITHUB_CLIENT_ID="Iv1.x", GITHUB_CLIENT_SECRET="s3cret", PREVIEW_DOMAIN="preview.test",
    )  # fmt: skip
    deployer.deploy({"index.html": "secret page", "a.html": "a"})
    protect(deployer.project().id, AccessKind.GITHUB)
    application = Previews(store, settings, Bus(), visitors_application(settings))
    server = make_server("127.0.0.1", port, application, _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Host(port)
    server.shutdown()
    thread.join()
    server.server_close()


def link(answer: Answer) -> str:
    """The path and query of the page's sign-in link."""
    assert answer.status == 401
    found = re.search(r'href="([^"]+/_deploystack/github/sign-in[^"]+)"', answer.text)
    assert found is not None
    parts = urlsplit(unescape(found[1]))
    return f"{parts.path}?{parts.query}"


def cookie_of(answer: Answer) -> str:
    return answer.headers["Set-Cookie"].partition(";")[0]


def begin(gate: Host, github: GitHub, path: str = BASE) -> tuple[str, str, str]:
    """(code, state, the browser's cookie) of a sign-in that GitHub has consented to."""
    started = gate.get(link(gate.get(path, Host=f"localhost:{gate.port}")))
    assert started.status == 303
    for part in ("Path=/_deploystack/github/", "HttpOnly", "SameSite=Lax"):
        assert part in started.headers["Set-Cookie"]
    code, asked = github.authorize(started.location or "")
    assert asked["redirect_uri"] == f"http://localhost:{gate.port}/_deploystack/github/callback"
    return code, asked["state"], cookie_of(started)


def end(gate: Host, code: str, state: str, cookie: str) -> Answer:
    path = f"/_deploystack/github/callback?code={code}&state={state}"
    return gate.get(path, Cookie=cookie)


def test_who_has_access_to_the_repository_comes_in(gate: Host, github: GitHub) -> None:
    github.permissions = {"pull": True}
    ended = end(gate, *begin(gate, github, f"{BASE}a?q=1"))
    assert ended.status == 303
    assert (ended.location or "").startswith(f"http://localhost:{gate.port}{BASE}a?q=1&_access=")
    parts = urlsplit(ended.location or "")
    entered = gate.get(f"{parts.path}?{parts.query}", Host=parts.netloc)
    assert (entered.status, entered.location) == (303, f"{BASE}a?q=1")
    assert "Max-Age=86400" in entered.headers["Set-Cookie"]
    assert gate.get(BASE, Cookie=cookie_of(entered)).text == "secret page"
    assert github.tokens == set()  # given back


def test_the_bots_secret_and_the_verifier_stay_out_of_addresses(gate: Host, github: GitHub) -> None:
    started = gate.get(link(gate.get(BASE, Host=f"localhost:{gate.port}")))
    assert "s3cret" not in (started.location or "")
    assert "code_verifier" not in (started.location or "")


@pytest.mark.parametrize(
    ("private", "permissions", "comes_in"),
    [
        (True, None, False),
        (True, {"pull": True}, True),
        (False, {"pull": True, "push": False}, False),
        (False, {"pull": True, "triage": True}, True),
        (False, {"pull": True, "push": True}, True),
        (False, {}, False),
    ],
)
def test_of_a_public_repository_only_collaborators_come_in(
    gate: Host,
    github: GitHub,
    private: bool,
    permissions: dict[str, bool] | None,
    comes_in: bool,
) -> None:
    github.private, github.permissions = private, permissions
    ended = end(gate, *begin(gate, github))
    assert (ended.status == 303) is comes_in
    assert comes_in or (ended.status, "no access" in ended.text) == (403, True)
    assert github.tokens == set()


def test_a_sign_in_is_good_in_the_browser_that_began_it_alone(gate: Host, github: GitHub) -> None:
    github.permissions = {"pull": True}
    code, state, cookie = begin(gate, github)
    _, other_state, other = begin(gate, github)
    for wrong in ("", other, "deploystack_state=x", f"{cookie}; {other}"):
        assert end(gate, code, state, wrong).status == 403
    assert end(gate, code, other_state, cookie).status == 403
    assert end(gate, code, "", cookie).status == 403
    assert end(gate, code, state[:-1] + ("0" if state[-1] != "0" else "1"), cookie).status == 403
    assert end(gate, code, state, cookie).status == 303
    assert end(gate, code, state, cookie).status == 403  # a code is good once


def test_a_code_of_another_sign_in_is_refused_by_github(gate: Host, github: GitHub) -> None:
    github.permissions = {"pull": True}
    _, state, cookie = begin(gate, github)
    stolen, _, _ = begin(gate, github)
    assert end(gate, stolen, state, cookie).status == 403


def test_a_ticket_is_for_the_place_that_asked_for_it(gate: Host, github: GitHub) -> None:
    github.permissions = {"pull": True}
    ended = end(gate, *begin(gate, github))
    ticket = (ended.location or "").partition("?")[2]
    assert gate.get(f"/?{ticket}", Host=f"{SHA}.preview.test").status == 401
    assert gate.get(f"{BASE}?{ticket}", Host=f"localhost:{gate.port}").status == 303


def test_nobody_is_sent_where_only_the_request_says_so(gate: Host, github: GitHub) -> None:
    """Else a ticket could be had for a host of the attacker's own."""
    for host in ("evil.test", f"localhost:{gate.port + 1}", f"127.0.0.1:{gate.port}"):
        path = link(gate.get(BASE, Host=host))
        assert f"to=http%3A%2F%2Flocalhost%3A{gate.port}%2F{SHA}" in path
    own = link(gate.get("/", Host=f"{SHA}.preview.test"))
    assert f"to=http%3A%2F%2F{SHA}.preview.test%2F" in own
    assert gate.get(own.replace("preview.test", "evil.test")).status == 403


def test_trouble_at_github_is_said_in_words(gate: Host, github: GitHub) -> None:
    code, state, cookie = begin(gate, github)
    refused = gate.get(
        f"/_deploystack/github/callback?error=access_denied&state={state}", Cookie=cookie
    )
    assert (refused.status, "not allowed" in refused.text) == (403, True)
    github.broken = True
    failed = end(gate, code, state, cookie)
    assert (failed.status, "does not answer" in failed.text) == (503, True)


def test_a_project_protected_otherwise_is_not_opened_by_github(
    gate: Host, github: GitHub, deployer: Deployer
) -> None:
    github.permissions = {"pull": True}
    begun = begin(gate, github)
    protect(deployer.project().id, AccessKind.PASSWORD, "x")
    assert end(gate, *begun).status == 403
