"""What people see in a real browser while a build runs, and from a preview's own links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from bot.models.status import BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment
from tests.browsers import chromium
from tests.serve.conftest import SHA, Deployer, Host

PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f"
    b"\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)


@pytest.fixture
def browser_page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page()


def test_the_building_page_follows_the_build_and_turns_into_the_site(
    deployer: Deployer, host: Host, browser_page: Page
) -> None:
    deployment_id = deployer.row(status=DeploymentStatus.PENDING)
    deployer.build(deployment_id, BuildStatus.QUEUED)
    problems: list[str] = []
    browser_page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    browser_page.goto(f"http://127.0.0.1:{host.port}/{SHA}/")
    assert browser_page.inner_text("#state") == "queued"
    Build.update(status=BuildStatus.BUILDING).execute()
    browser_page.wait_for_selector("#state:has-text('building')")
    deployer.publish(
        deployment_id, {"index.html": '<link rel="icon" href="data:,"><h1>the site</h1>'}
    )
    Build.update(status=BuildStatus.READY).execute()
    Deployment.update(status=DeploymentStatus.READY).execute()
    browser_page.wait_for_selector("h1:has-text('the site')")
    assert problems == []


def test_a_site_that_knows_nothing_of_its_base_path_works_under_it(
    deployer: Deployer, host: Host, browser_page: Page
) -> None:
    page = (
        '<link rel="stylesheet" href="/css/site.css"><h1>home</h1><img src="/logo.png">'
        '<script type="module" src="/js/app.js"></script><a href="/about">About</a>'
    )
    deployer.deploy(
        {
            "index.html": page,
            "about.html": '<h1>about</h1><a href="/">Home</a>',
            "css/site.css": 'h1{color:rgb(1,2,3)}body{background:url("/img/back.png")}',
            "img/back.png": PIXEL,
            "logo.png": PIXEL,
            "js/app.js": 'import {text} from "/js/text.js"; document.title = text',
            "js/text.js": 'export const text = "modules work"',
        }
    )
    failed: list[str] = []
    browser_page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
    browser_page.goto(f"http://127.0.0.1:{host.port}/{SHA}/")
    browser_page.wait_for_load_state("networkidle")
    assert browser_page.title() == "modules work"
    color = "getComputedStyle(document.querySelector('h1')).color"
    assert browser_page.evaluate(color) == "rgb(1, 2, 3)"
    assert browser_page.evaluate("document.querySelector('img').naturalWidth") == 1
    browser_page.click("text=About")
    assert browser_page.inner_text("h1") == "about"
    assert browser_page.url.endswith(f"/{SHA}/about")
    browser_page.click("text=Home")
    assert browser_page.inner_text("h1") == "home"
    assert [url for url in failed if not url.endswith("/favicon.ico")] == []


def test_a_preview_cannot_take_the_whole_host_by_a_service_worker(
    deployer: Deployer, host: Host, browser_page: Page
) -> None:
    deployer.deploy({"index.html": "<h1>hostile</h1>", "sw.js": "self.x = 1"})
    browser_page.goto(f"http://127.0.0.1:{host.port}/{SHA}/")
    register = (
        "([script, scope]) => navigator.serviceWorker.register(script, {scope})"
        ".then(r => r.scope, e => 'refused')"
    )
    assert browser_page.evaluate(register, ["/sw.js", "/"]) == "refused"
    assert browser_page.evaluate(register, [f"/{SHA}/sw.js", "/"]) == "refused"
    own = browser_page.evaluate(register, [f"/{SHA}/sw.js", f"/{SHA}/"])
    assert own.endswith(f"/{SHA}/")
