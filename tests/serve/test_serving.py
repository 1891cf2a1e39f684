"""What a deployment's addresses answer, over real HTTP."""

from __future__ import annotations

import email
import email.policy

import pytest

from tests.serve.conftest import SHA, Deployer, Host

BASE = f"/{SHA}/"
SITE: dict[str, str | bytes] = {
    "index.html": "<h1>home</h1>",
    "about.html": "about",
    "docs/index.html": "docs",
    "docs/deep/index.html": "deep",
    "docs/404.html": "no such doc",
    "404.html": "no such page",
    "empty.txt": "",
    "letters.txt": "abcdefghij",
    "big.bin": bytes(range(256)) * 2000,
    "assets/app-B7cD9x2k.js": "run()",
    "assets/style.css": "body{}",
    "sp ace/üñ.txt": "unicode",
    "file.with.dots.tar": "dots",
    ".well-known/security.txt": "contact",
    "100%25.txt": "percent",
}


@pytest.fixture
def site(deployer: Deployer, host: Host) -> Host:
    deployer.deploy(SITE)
    return host


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", "<h1>home</h1>"),
        ("index.html", "<h1>home</h1>"),
        ("about", "about"),
        ("about.html", "about"),
        ("docs/", "docs"),
        ("docs/deep/", "deep"),
        ("docs/deep/index.html", "deep"),
        ("empty.txt", ""),
        ("sp%20ace/%C3%BC%C3%B1.txt", "unicode"),
        ("file.with.dots.tar", "dots"),
        (".well-known/security.txt", "contact"),
        ("100%2525.txt", "percent"),
        ("letters.txt?v=1", "abcdefghij"),
    ],
)
def test_a_path_means_a_file(site: Host, path: str, body: str) -> None:
    answer = site.get(BASE + path)
    assert (answer.status, answer.text) == (200, body)
    assert answer.headers["Content-Length"] == str(len(body.encode()))


def test_an_unpublished_form_of_unicode_finds_the_published_one(
    deployer: Deployer, host: Host
) -> None:
    deployer.deploy({"index.html": "x", "u\u0308.txt": "decomposed"})
    assert host.get(BASE + "%C3%BC.txt").text == "decomposed"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (f"/{SHA}", f"/{SHA}/"),
        (f"/{SHA}?a=1&b=2", f"/{SHA}/?a=1&b=2"),
        (f"{BASE}docs", f"{BASE}docs/"),
        (f"{BASE}docs?q=x%20y", f"{BASE}docs/?q=x%20y"),
        (f"{BASE}about/", f"{BASE}about"),
        (f"{BASE}about/?q", f"{BASE}about?q"),
    ],
)
def test_a_page_has_one_address(site: Host, path: str, location: str) -> None:
    answer = site.get(path)
    assert (answer.status, answer.location) == (308, location)


@pytest.mark.parametrize(
    ("path", "body"),
    [("nowhere", "no such page"), ("docs/nowhere", "no such doc"), ("docs/a/b", "no such doc")],
)
def test_the_nearest_404_page_answers(site: Host, path: str, body: str) -> None:
    answer = site.get(BASE + path)
    assert (answer.status, answer.text) == (404, body)


def test_without_a_404_page_ours_says_what_is_missing(deployer: Deployer, host: Host) -> None:
    deployer.deploy({"index.html": "x"})
    answer = host.get(BASE + "<script>")
    assert answer.status == 404
    assert "no file /&lt;script&gt;" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc/passwd",
        "%252e%252e%252fetc/passwd",
        "docs/%2e%2e/%2e%2e/manifests",
        "..%5c..%5cboot.ini",
        "docs\\..\\..\\x",
        "index.html%00.txt",
        "//etc/passwd",
        "/index.html",
        "%ff%fe",
        "%c0%ae%c0%ae/x",
        "index.html/",
        "docs//",
    ],
)
def test_no_path_leads_out_of_a_deployment(site: Host, path: str) -> None:
    answer = site.get(BASE + path)
    assert answer.status in {400, 404}
    assert b"root:" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_preview_is_read_only(site: Host, method: str) -> None:
    answer = site.ask(method, BASE, {})
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_the_body(site: Host) -> None:
    for path in ("", "big.bin", "nowhere"):
        got, head = site.get(BASE + path), site.head(BASE + path)
        assert head.status == got.status
        assert head.body == b""
        assert head.headers["Content-Length"] == str(len(got.body))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("x.html", "text/html; charset=utf-8"),
        ("x.js", "text/javascript; charset=utf-8"),
        ("x.mjs", "text/javascript; charset=utf-8"),
        ("x.css", "text/css; charset=utf-8"),
        ("x.js.map", "application/json; charset=utf-8"),
        ("x.wasm", "application/wasm"),
        ("x.webmanifest", "application/manifest+json; charset=utf-8"),
        ("x.avif", "image/avif"),
        ("x.woff2", "font/woff2"),
        ("x.svg", "image/svg+xml"),
        ("x", "application/octet-stream"),
        ("x.unheardof", "application/octet-stream"),
    ],
)
def test_a_file_has_the_right_type(
    deployer: Deployer, host: Host, path: str, expected: str
) -> None:
    deployer.deploy({"index.html": "", path: "content"})
    answer = host.get(BASE + path)
    assert answer.headers["Content-Type"] == expected
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "immutable"),
    [
        ("assets/app-B7cD9x2k.js", True),
        ("static/main.4f2a91bc.css", True),
        ("img/logo.2ab45cd8.svg", True),
        ("app-B7cD9x2k.js.map", True),
        ("assets/style.css", False),
        ("jquery.min.js", False),
        ("my-component.js", False),
        ("post-20240101.html", False),
        ("index.html", False),
    ],
)
def test_only_fingerprinted_files_are_kept_for_good(
    deployer: Deployer, host: Host, path: str, immutable: bool
) -> None:
    deployer.deploy({"index.html": "", path: "content"})
    cache = host.get(BASE + path).headers["Cache-Control"]
    assert ("immutable" in cache) is immutable
    assert ("must-revalidate" in cache) is not immutable


def test_a_known_version_is_not_sent_again(site: Host) -> None:
    first = site.get(BASE)
    etag, date = first.headers["ETag"], first.headers["Last-Modified"]
    assert etag.startswith('"')
    for headers in ({"If_None_Match": etag}, {"If_Modified_Since": date}):
        answer = site.get(BASE, **headers)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == etag
        assert answer.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert site.get(BASE, If_None_Match='"other"').status == 200
    assert site.get(BASE, If_Match='"other"').status == 412


def test_equal_contents_have_equal_tags_in_every_deployment(deployer: Deployer, host: Host) -> None:
    other = "f" * 40
    deployer.deploy({"index.html": "same", "a.txt": "one"})
    deployer.deploy({"index.html": "same", "a.txt": "two"}, sha=other)
    tags = [
        [host.get(f"/{sha}/{path}").headers["ETag"] for sha in (SHA, other)]
        for path in ("index.html", "a.txt")
    ]
    assert tags[0][0] == tags[0][1]
    assert tags[1][0] != tags[1][1]


@pytest.mark.parametrize(
    ("wanted", "body", "content_range"),
    [
        ("bytes=2-4", "cde", "bytes 2-4/10"),
        ("bytes=7-", "hij", "bytes 7-9/10"),
        ("bytes=-2", "ij", "bytes 8-9/10"),
        ("bytes=0-99", "abcdefghij", "bytes 0-9/10"),
    ],
)
def test_one_range_of_a_file(site: Host, wanted: str, body: str, content_range: str) -> None:
    answer = site.get(f"{BASE}letters.txt", Range=wanted)
    assert (answer.status, answer.text) == (206, body)
    assert answer.headers["Content-Range"] == content_range
    assert answer.headers["Content-Length"] == str(len(body))


def test_a_range_of_a_large_file(site: Host) -> None:
    whole = site.get(f"{BASE}big.bin").body
    assert whole == SITE["big.bin"]
    for wanted, part in (("1000-300000", whole[1000:300001]), ("400000-", whole[400000:])):
        answer = site.get(f"{BASE}big.bin", Range=f"bytes={wanted}")
        assert (answer.status, answer.body) == (206, part)


def test_several_ranges_come_as_parts(site: Host) -> None:
    answer = site.get(f"{BASE}letters.txt", Range="bytes=0-1, 4-5,-1")
    assert answer.status == 206
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.body, policy=email.policy.HTTP)
    parts = [(part["Content-Range"], part.get_content()) for part in message.iter_parts()]
    assert [content_range for content_range, _ in parts] == [
        "bytes 0-1/10", "bytes 4-5/10", "bytes 9-9/10",
    ]  # fmt: skip
    assert [text.strip() for _, text in parts] == ["ab", "ef", "j"]


def test_a_range_that_does_not_exist(site: Host) -> None:
    answer = site.get(f"{BASE}letters.txt", Range="bytes=10-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")


def test_a_range_of_an_older_version_gets_the_new_one_in_whole(site: Host) -> None:
    etag = site.get(f"{BASE}letters.txt").headers["ETag"]
    for if_range, status in ((etag, 206), ('"old"', 200)):
        answer = site.get(f"{BASE}letters.txt", Range="bytes=0-1", If_Range=if_range)
        assert answer.status == status


def test_a_single_page_application_answers_its_own_routes(deployer: Deployer, host: Host) -> None:
    deployer.deploy({"index.html": "app", "404.html": "none"}, spa=True)
    assert host.visit(f"{BASE}users/7").text == "app"
    assert host.get(f"{BASE}users/7", Accept="application/json").status == 404
    assert host.visit(f"{BASE}missing.js").status == 404
    assert host.visit(f"{BASE}missing.js").text == "none"


def test_previews_are_not_for_search_engines_but_production_is(
    deployer: Deployer, host: Host
) -> None:
    live = "e" * 40
    deployer.deploy({"index.html": "x"})
    deployer.deploy({"index.html": "x"}, sha=live, environment="production")
    assert host.get(BASE).headers["X-Robots-Tag"] == "noindex"
    assert host.get(f"/{live}/").headers["X-Robots-Tag"] is None


def test_a_folder_is_not_listed(deployer: Deployer, host: Host) -> None:
    deployer.deploy({"index.html": "x", "files/a.txt": "a"})
    assert host.get(f"{BASE}files/").status == 404


def test_what_is_not_a_preview_is_handed_on(site: Host) -> None:
    for path in ("/", "/healthz"):
        assert site.get(path).text == "the bot's own"
    assert site.ask("POST", "/webhooks/github", {}, b"{}").text == "the bot's own"
