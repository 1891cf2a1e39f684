"""The documentation pages, in a real browser and over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server

from tests.api.conftest import Running
from tests.browsers import chromium

# What the page's own "try it out" does.
TRY = """async ([url, token]) => {
  const headers = token ? {Authorization: `Bearer ${token}`, "Idempotency-Key": "x"} : {};
  return (await fetch(url, {headers})).status;
}"""


@pytest.fixture
def url(api: Running) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, api.client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/docs", "#operations-deploy-deploy_deploy_deploy_post"),
        ("/redoc", "h2:has-text('Deploy an archive')"),
    ],
)
def test_a_documentation_page_shows_the_api_and_asks_no_other_host(
    api: Running, url: str, path: str, shown: str
) -> None:
    asked: list[str] = []
    problems: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{url}{path}")
        page.wait_for_selector(shown, timeout=30_000)
        origin = page.evaluate("window.origin")
        tried = page.evaluate(TRY, [f"{url}/api/v1/projects", api.new_token()])
        locally = page.evaluate(TRY, [f"{url}/api/v1/projects", ""])
        problems = [text for text in problems if "401" not in text]
    assert origin == "null", "a preview of the same host could reach into the page"
    assert (tried, locally) == (200, 401)
    assert problems == []
    assert {a for a in asked if not a.startswith((f"{url}/", "data:", "blob:"))} == set()
    assert f"{url}/openapi.json" in asked


def test_nobody_needs_a_token_to_read_the_documentation(api: Running) -> None:
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    for path in ("/docs", "/redoc", "/openapi.json", "/docs/files/css/swagger-ui.css"):
        with api.get(path, environ_base=elsewhere) as answer:
            assert answer.status_code == 200, path
    assert api.get("/docs/files/../__init__.py").status_code == 404
