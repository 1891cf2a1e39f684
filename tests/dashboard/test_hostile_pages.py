"""A hostile preview in a real browser, against a dashboard that somebody is signed in to.

Both are the bot's real application on two ports of one machine, as it is on a laptop:
the hardest case, since cookies do not know ports.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref.simple_server import make_server

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from bot.app import create_app
from bot.models import changes, tokens
from bot.models.database import Database, connect
from bot.models.tokens import Scope
from bot.settings import Settings
from bot.storage.urls import open_store
from tests.browsers import chromium
from tests.serve.conftest import Deployer, _Quiet, _Server
from tests.serve.test_processes import free_port

EVIL, OTHER = "e" * 40, "f" * 40
PAGE = '<link rel="icon" href="data:,"><h1>hostile</h1><iframe name="sink"></iframe>'


@dataclass
class Stage:
    """The bot, the cookies that each of its ports was sent, and what production leads to."""

    settings: Settings
    token: str
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def preview(self) -> str:
        return f"http://localhost:{self.settings.PORT}/{EVIL}/"

    @property
    def dashboard(self) -> str:
        return self.settings.DASHBOARD_URL

    def production(self) -> str:
        found = changes.in_production(1)
        assert found is not None
        return found.id


@pytest.fixture
def stage(make_settings: Callable[..., Settings]) -> Iterator[Stage]:
    settings = make_settings(PORT=free_port(), DASHBOARD_PORT=free_port(), RATE_LIMIT=0)
    database: Database = connect(settings.DATABASE_URL)
    deployer = Deployer(open_store(settings))
    earlier = deployer.deploy({"index.html": "earlier"}, sha=OTHER, environment="production")
    later = deployer.deploy({"index.html": PAGE}, sha=EVIL, environment="production")
    with database.write():
        changes.promote(1, earlier)
        changes.promote(1, later)
        _, token = tokens.create("me", Scope.ADMIN)
    found = Stage(settings, token)
    application = create_app(settings)

    def spied(environ: dict[str, Any], start_response: Any) -> Any:
        host, cookie = environ["HTTP_HOST"], environ.get("HTTP_COOKIE", "")
        found.seen.append((host, environ["PATH_INFO"], cookie))
        return application(environ, start_response)

    servers = [
        make_server("127.0.0.1", port, spied, _Server, _Quiet)
        for port in (settings.PORT, settings.DASHBOARD_PORT)
    ]
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    yield found
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()
    database.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def victim(stage: Stage, browser: Browser) -> Iterator[BrowserContext]:
    """A browser in which somebody is signed in to the dashboard."""
    context = browser.new_context()
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto(stage.dashboard)
    page.fill("#token", stage.token)
    page.click("button:has-text('Sign in')")
    page.wait_for_selector("h1:has-text('Projects')")
    page.close()
    yield context
    context.close()


@pytest.fixture
def hostile(stage: Stage, victim: BrowserContext) -> Page:
    page = victim.new_page()
    page.goto(stage.preview)
    assert page.inner_text("h1") == "hostile"
    stage.seen.clear()
    return page


def still_signed_in(victim: BrowserContext, stage: Stage) -> bool:
    page = victim.new_page()
    page.goto(stage.dashboard)
    signed_in = page.query_selector("h1:has-text('Projects')") is not None
    page.close()
    return signed_in


def test_the_dashboards_own_page_does_act(stage: Stage, victim: BrowserContext) -> None:
    """Else nothing that follows would prove anything."""
    before = stage.production()
    page = victim.new_page()
    page.goto(f"{stage.dashboard}/projects/1")
    page.click("text=Roll back production")
    page.wait_for_load_state()
    assert stage.production() != before


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
def test_a_preview_cannot_read_the_dashboard_by_fetch(
    stage: Stage, hostile: Page, mode: str
) -> None:
    script = """([url, mode]) => fetch(url, {credentials: 'include', mode})
        .then(a => a.text().then(t => [a.type, a.status, t]), () => 'refused')"""
    for path in ("/", "/projects/1", "/static/dashboard.css"):
        found = hostile.evaluate(script, [stage.dashboard + path, mode])
        assert found == "refused" or found == ["opaque", 0, ""]
    assert {cookie for _, _, cookie in stage.seen} == {""}


def test_a_preview_cannot_frame_the_dashboard(stage: Stage, hostile: Page) -> None:
    script = """url => new Promise(done => {
        const frame = document.createElement('iframe');
        frame.onload = () => {
            let text; try { text = frame.contentDocument && frame.contentDocument.body.innerText }
            catch { text = 'refused' }
            done(text)
        };
        frame.src = url; document.body.append(frame) })"""
    assert "Projects" not in str(hostile.evaluate(script, f"{stage.dashboard}/"))
    assert all("Projects" not in frame.content() for frame in hostile.frames)
    assert all(cookie == "" for host, _, cookie in stage.seen if "dashboard" in host)


def test_a_preview_cannot_look_into_a_window_that_it_opened(
    stage: Stage, victim: BrowserContext, hostile: Page
) -> None:
    with victim.expect_page() as opened:
        hostile.evaluate("url => { window.other = window.open(url) }", f"{stage.dashboard}/")
    opened.value.wait_for_selector("h1:has-text('Projects')")
    script = """() => { try { return window.other.closed ? 'severed'
        : window.other.document.body.innerText } catch (e) { return 'refused' } }"""
    assert hostile.evaluate(script) in {"refused", "severed"}
    assert opened.value.evaluate("window.opener") is None


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/projects/1/roll-back", {}),
        ("/projects/1/promote", {"csrf": "0" * 64}),
        ("/projects/1/protection", {"kind": "link"}),
        ("/sign-out", {}),
        ("/sign-in", {"token": "dst_attackers"}),
    ],
)
def test_a_preview_cannot_act_on_the_dashboard(
    stage: Stage, victim: BrowserContext, hostile: Page, path: str, form: dict[str, str]
) -> None:
    before = stage.production()
    url = stage.dashboard + path
    fetched = """([url, form]) => fetch(url, {method: 'POST', mode: 'no-cors',
        credentials: 'include', body: new URLSearchParams(form)})
        .then(a => a.type, () => 'error')"""
    assert hostile.evaluate(fetched, [url, form]) in {"opaque", "error"}
    posted = """([url, form, target]) => { const f = document.createElement('form');
        f.method = 'post'; f.action = url; f.target = target;
        for (const [name, value] of Object.entries(form)) {
            const i = document.createElement('input'); i.name = name; i.value = value; f.append(i) }
        document.body.append(f); f.submit() }"""
    with hostile.expect_event("response") as framed:
        hostile.evaluate(posted, [url, form, "sink"])
    assert framed.value.status == 403
    with victim.expect_page() as opened:
        hostile.evaluate(posted, [url, form, "_blank"])
    opened.value.wait_for_selector("text=Forbidden")
    assert {cookie for _, seen, cookie in stage.seen if seen == path} == {""}
    assert stage.production() == before
    assert still_signed_in(victim, stage)


def test_a_preview_cannot_toss_cookies_into_the_dashboard(
    stage: Stage, victim: BrowserContext, hostile: Page
) -> None:
    for domain in ("", "localhost", ".localhost", "dashboard.localhost", ".dashboard.localhost"):
        for path in ("/", "/projects", "/sign-in"):
            where = f"; Domain={domain}" if domain else ""
            text = f"deploystack=tossed{where}; Path={path}; Max-Age=600"
            hostile.evaluate("text => { document.cookie = text }", text)
    for number in range(400):  # flooding the jar pushes nothing of the dashboard's out
        hostile.evaluate("n => { document.cookie = `flood${n}=1; Path=/` }", number)
    own = [c for c in victim.cookies(stage.dashboard) if c["name"] == "deploystack"]
    assert len(own) == 1
    assert own[0]["value"] != "tossed"
    assert still_signed_in(victim, stage)
    sent = [cookie for host, _, cookie in stage.seen if "dashboard" in host]
    assert sent
    assert all("tossed" not in cookie and "flood" not in cookie for cookie in sent)


def test_the_dashboards_cookie_never_comes_to_previews(
    stage: Stage, victim: BrowserContext, hostile: Page
) -> None:
    hostile.reload()
    assert hostile.evaluate("document.cookie") == ""
    (cookie,) = (c["value"] for c in victim.cookies(stage.dashboard))
    seen = [sent for host, _, sent in stage.seen if "dashboard" not in host]
    assert seen
    assert all(cookie not in sent for sent in seen)


def test_no_preview_is_served_under_the_dashboards_name(
    stage: Stage, victim: BrowserContext
) -> None:
    """There, cookies could be set and read whatever the port."""
    page = victim.new_page()
    name = stage.dashboard.rpartition(":")[0]
    for path in (f"/{EVIL}/", "/~/octo-site/production/", "/", "/healthz"):
        answer = page.goto(f"{name}:{stage.settings.PORT}{path}")
        assert answer is not None
        assert answer.status == 421
        assert "hostile" not in page.content()


def test_a_service_worker_of_a_preview_does_not_reach_the_dashboard(
    stage: Stage, hostile: Page
) -> None:
    script = """url => navigator.serviceWorker.register(url).then(() => 'taken', () => 'refused')"""
    assert hostile.evaluate(script, f"{stage.dashboard}/static/dashboard.css") == "refused"


def test_a_dashboards_port_answers_nothing_of_previews(stage: Stage, hostile: Page) -> None:
    port = stage.settings.DASHBOARD_PORT
    page = hostile.context.new_page()
    page.goto(f"http://localhost:{port}/{EVIL}/")
    assert page.url.startswith(stage.dashboard)
    assert json.dumps("hostile") not in page.content()
    assert "hostile" not in page.inner_text("body")
