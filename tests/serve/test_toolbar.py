"""The toolbar: in the pages that people go to, where it is wanted, and nowhere else."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import pytest
import zstandard
from playwright.sync_api import BrowserContext

from bot.models import access, projects
from bot.models.access import AccessKind
from bot.models.database import Database
from bot.models.ids import now
from bot.models.status import AliasKind, BuildStatus
from bot.models.tables import Deployment, PullRequest
from bot.serve import toolbar
from bot.serve.toolbar import with_script
from bot.storage.variants import add_variants
from tests.browsers import chromium
from tests.serve.conftest import SHA, Deployer, Host, wait_until

PAGE = "<!doctype html><html lang=en><title>Site</title><body><h1>Hello</h1>" + "text " * 200
PAGE += "</body></html>\n"
NEWER = "9" * 40
BASE = f"/{SHA}/"
TAG = f'<script src="{BASE}.well-known/deploystack/toolbar.js"></script>'
FILES: dict[str, str | bytes] = {
    "index.html": PAGE,
    "part.html": "<p>a part",
    "404.html": "<p>nothing here</body>",
    "app.js": "run()",
    "notes.txt": "text",
    "file.html": "<p>to be saved",
    "typed.txt": "<p>a page by its type",
    "_headers": "/typed.txt\n  Content-Type: text/html\n"
    "/file.html\n  Content-Disposition: attachment\n"
    "/strict\n  Content-Security-Policy: default-src 'none'; script-src 'self'\n",
    "strict.html": "<!doctype html><title>Strict</title><body><h1>Strict</h1>",
}


@pytest.fixture
def deployment(deployer: Deployer, database: Database) -> str:
    """A live preview of `main`, whose project wants toolbars."""
    made = deployer.deploy(FILES)
    with database.write():
        projects.switch(deployer.project().id, "toolbar", True)
    return made


def goes_to(host: Host, path: str = "", **headers: str) -> Any:
    """As a browser goes to a page."""
    return host.visit(BASE + path, Sec_Fetch_Dest="document", **headers)


def test_a_page_that_somebody_goes_to_has_it_and_says_so(host: Host, deployment: str) -> None:
    answer = goes_to(host)
    assert answer.text == PAGE.replace("</body>", f"{TAG}</body>")
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=0, must-revalidate"
    assert "Sec-Fetch-Dest" in answer.headers["Vary"]
    assert goes_to(host, "nowhere").text == f"<p>nothing here{TAG}</body>"
    assert goes_to(host, "nowhere").status == 404


@pytest.mark.parametrize("dest", ["empty", "iframe", "script", None])
def test_a_page_that_nobody_goes_to_stays_as_it_is(
    host: Host, deployment: str, dest: str | None
) -> None:
    headers = {"Sec_Fetch_Dest": dest} if dest else {}
    for path in ("", "part.html"):
        answer = host.get(BASE + path, **headers)
        assert answer.text == FILES[path or "index.html"]
        assert answer.headers["ETag"] != goes_to(host, path).headers["ETag"]
        assert "Sec-Fetch-Dest" in answer.headers["Vary"]


def test_a_page_is_what_is_answered_as_one(host: Host, deployment: str) -> None:
    page, part = goes_to(host, "typed.txt"), host.get(f"{BASE}typed.txt")
    assert (page.text, part.text) == (f"{FILES['typed.txt']}{TAG}", FILES["typed.txt"])
    assert page.headers["Vary"] == part.headers["Vary"] == "Sec-Fetch-Dest"


@pytest.mark.parametrize("path", ["app.js", "notes.txt", "file.html"])
def test_what_is_no_page_stays_as_it_is(host: Host, deployment: str, path: str) -> None:
    answer = goes_to(host, path)
    assert answer.text == FILES[path]
    assert (answer.headers["Vary"] is None) is not path.endswith(".html")


def test_production_has_none_and_neither_has_a_project_that_wants_none(
    host: Host, deployer: Deployer, database: Database
) -> None:
    made = deployer.deploy(FILES)
    assert goes_to(host).text == PAGE
    assert goes_to(host, toolbar.SCRIPT).status == 404
    with database.write():
        projects.switch(deployer.project().id, "toolbar", True)
    wait_until(lambda: TAG in goes_to(host).text)
    Deployment.update(environment="production").where(Deployment.id == made).execute()
    wait_until(lambda: goes_to(host).text == PAGE)
    assert goes_to(host, toolbar.SCRIPT).status == 404


def test_conditions_and_ranges_are_those_of_the_page_with_it(host: Host, deployment: str) -> None:
    whole = goes_to(host)
    etag = whole.headers["ETag"]
    unchanged = goes_to(host, If_None_Match=etag)
    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", etag)
    assert "Sec-Fetch-Dest" in unchanged.headers["Vary"]
    plain = host.get(BASE).headers["ETag"]
    assert goes_to(host, If_None_Match=plain).status == 200
    assert host.get(BASE, If_None_Match=etag).status == 200
    size = len(whole.body)
    part = goes_to(host, Range=f"bytes=5-{size - 3}")
    assert (part.status, part.body) == (206, whole.body[5:-2])
    assert part.headers["Content-Range"] == f"bytes 5-{size - 3}/{size}"
    assert goes_to(host, Range="bytes=-9").body == whole.body[-9:]
    assert goes_to(host, Range=f"bytes={size}-").status == 416
    several = goes_to(host, Range="bytes=0-3,10-12")
    assert (several.status, f"/{size}".encode() in several.body) == (206, True)
    assert goes_to(host, Range="bytes=0-3", If_Range=plain).body == whole.body
    assert goes_to(host, Range="bytes=0-3", If_Range=etag).body == whole.body[:4]
    assert goes_to(host, If_Match=plain).status == 412


def test_head_agrees_with_get(host: Host, deployment: str) -> None:
    for path in ("", toolbar.SCRIPT):
        got = goes_to(host, path)
        head = host.head(BASE + path, Accept="text/html", Sec_Fetch_Dest="document")
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Length", "Content-Type", "ETag", "Vary", "Cache-Control"):
            assert head.headers[name] == got.headers[name], name


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [
        ("br", brotli.decompress),
        ("gzip", gzip.decompress),
        ("zstd", lambda body: zstandard.ZstdDecompressor().decompress(body)),
    ],
)
def test_it_is_compressed_where_the_page_is(
    host: Host, deployer: Deployer, deployment: str, encoding: str, decode: Callable[[bytes], bytes]
) -> None:
    assert add_variants(deployer.store, deployment) is not None
    plain = goes_to(host)
    answer = goes_to(host, Accept_Encoding=encoding)
    assert answer.headers["Content-Encoding"] == encoding
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert decode(answer.body) == plain.body
    assert answer.headers["ETag"] != plain.headers["ETag"]
    assert set(re.split(", *", answer.headers["Vary"])) == {"Accept-Encoding", "Sec-Fetch-Dest"}
    assert goes_to(host, Accept_Encoding=encoding).headers["ETag"] == answer.headers["ETag"]


def test_pages_made_are_kept_within_a_bound_and_made_again(
    make_host: Callable[..., Host], deployer: Deployer, database: Database
) -> None:
    host = make_host(PREVIEW_CACHE_SIZE="64K")  # of which 4K for these pages
    files = {f"{number}.html": f"{number} " + "x" * 900 for number in range(12)}
    deployer.deploy(files)
    with database.write():
        projects.switch(deployer.project().id, "toolbar", True)
    first = {name: goes_to(host, name) for name in files}
    for name, answer in first.items():
        assert answer.text == files[name] + TAG
        assert goes_to(host, name).headers["ETag"] == answer.headers["ETag"]


def said(host: Host, path: str = BASE + toolbar.SCRIPT) -> dict[str, Any]:
    """What the script knows."""
    answer = host.get(path)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.body.isascii() or "FACTS" not in answer.text
    found = re.search(r"const facts = (\{.*\});\n", answer.text)
    assert found is not None
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def test_the_script_says_what_may_be_known_and_no_more(
    make_host: Callable[..., Host], deployer: Deployer, database: Database, deployment: str
) -> None:
    host = make_host(PUBLIC_URL="https://deploy.example.com")
    build = deployer.build(deployment, BuildStatus.READY)
    with database.write():
        PullRequest.create(
            project=deployer.project(), number=7, head_sha=SHA, head_ref="main", open=True,
            moved_at=now(),
        )  # fmt: skip
    assert said(host) == {
        "project": "octo/site",
        "title": f"main · {SHA[:7]}",
        "rows": [["Branch", "main"], ["Commit", SHA[:12]], ["Status", "ready"]],
        "links": [
            ["https://github.com/octo/site/pull/7", "Pull request 7"],
            [f"https://deploy.example.com/builds/{build}", "Build"],
            [
                f"http://dashboard.localhost:8001/projects/1/deployments/{deployment}",
                "Dashboard",
            ],
        ],
        "newer": "",
        "address": f"https://deploy.example.com/{SHA}/",
        "base": BASE,
    }


def test_it_says_that_the_branch_has_something_newer(
    host: Host, deployer: Deployer, database: Database, deployment: str
) -> None:
    newer = deployer.deploy(FILES, sha=NEWER)
    Deployment.update(created_at=now() + 1000).where(Deployment.id == newer).execute()
    with database.write():
        projects.point_alias(deployer.project().id, AliasKind.BRANCH, "main", newer)
    assert said(host)["newer"] == "http://localhost:8000/~/octo-site/main/"
    alias = "/~/octo-site/main/"
    page = host.visit(alias, Sec_Fetch_Dest="document")
    assert f'src="{alias}{toolbar.SCRIPT}"' in page.text
    found = said(host, alias + toolbar.SCRIPT)
    assert (found["base"], found["newer"]) == (alias, "")


def test_the_scripts_validator_is_its_content(host: Host, deployment: str) -> None:
    first = host.get(BASE + toolbar.SCRIPT)
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    etag = first.headers["ETag"]
    assert host.get(BASE + toolbar.SCRIPT, If_None_Match=etag).status == 304
    Deployment.update(ref="other").execute()
    assert host.get(BASE + toolbar.SCRIPT, If_None_Match=etag).status == 200


def test_on_a_host_of_its_own_it_is_found_at_the_root(
    make_host: Callable[..., Host], deployer: Deployer, deployment: str
) -> None:
    host = make_host(PREVIEW_DOMAIN="preview.test")
    name = {"Host": f"{SHA}.preview.test"}
    page = host.visit("/", Sec_Fetch_Dest="document", **name)
    assert 'src="/.well-known/deploystack/toolbar.js"' in page.text
    script = host.get("/.well-known/deploystack/toolbar.js", **name)
    assert (script.status, '"base": "/"' in script.text) == (200, True)
    assert host.get("/.well-known/deploystack/toolbar.js").status == 404


def test_where_a_project_is_protected_the_script_is_too(
    host: Host, deployer: Deployer, database: Database, deployment: str
) -> None:
    with database.write():
        access.protect(deployer.project().id, AccessKind.PASSWORD, "secret")
    assert host.get(BASE + toolbar.SCRIPT).status == 401
    assert TAG not in goes_to(host).text


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (b"<p>x</body></html>", b"<p>x@</body></html>"),
        (b"<p>x</BODY >\n</HTML>\n", b"<p>x@</BODY >\n</HTML>\n"),
        (b"<p>x", b"<p>x@"),
        (b"", b"@"),
        (b"</body><p>x", b"</body><p>x@"),
        (b"\xff\xfe<\x00p\x00", b"\xff\xfe<\x00p\x00"),
    ],
)
def test_it_comes_after_all_that_is_the_pages_own(page: bytes, expected: bytes) -> None:
    element = b'<script src="/a&amp;b/t.js"></script>'
    assert with_script(page, "/a&b/t.js") == expected.replace(b"@", element)


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    permissions = ["clipboard-read", "clipboard-write"]
    with chromium() as started:
        yield started.new_context(viewport={"width": 390, "height": 600}, permissions=permissions)


@pytest.mark.parametrize("path", ["", "strict"])
def test_in_a_browser_it_opens_by_keyboard_and_the_page_cannot_look_in(
    host: Host, deployer: Deployer, deployment: str, browser: BrowserContext, path: str
) -> None:
    deployer.build(deployment, BuildStatus.READY)
    page = browser.new_page()
    problems: list[str] = []
    asked: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{host.port}{BASE}{path}?q=1#here")
    page.wait_for_selector("deploystack-toolbar", state="attached")
    assert page.evaluate("document.querySelector('deploystack-toolbar').shadowRoot") is None
    assert page.evaluate("document.querySelectorAll('script').length") == 0
    tree = browser.new_cdp_session(page)

    def named() -> dict[str, str]:
        nodes = tree.send("Accessibility.getFullAXTree")["nodes"]
        return {
            node["name"]["value"]: node["role"]["value"]
            for node in nodes
            if node.get("name", {}).get("value")
            and node["role"]["value"] not in {"InlineTextBox", "StaticText"}
        }

    assert named()[f"main · {SHA[:7]}"] == "button"
    assert named()["DeployStack preview"] == "region"
    assert "Copy link" not in named()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert (named()["Copy link"], named()["Dashboard"]) == ("button", "link")
    for _ in ("the build", "the dashboard", "the button"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_until(lambda: "Copied" in str(tree.send("Accessibility.getFullAXTree")))
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"http://localhost:8000{BASE}{path}?q=1#here"
    page.keyboard.press("Escape")
    assert "Copy link" not in named()
    origin = f"http://127.0.0.1:{host.port}"
    assert all(url.startswith(origin) for url in asked), asked
    assert [text for text in problems if "favicon" not in text and "404" not in text] == []
