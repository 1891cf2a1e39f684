"""What issue and standards ask of a static host, each clause on both real servers.

The finer points of each part have tables of their own beside this one; here every
promise is kept by the servers that we run, over real HTTP.
"""

from __future__ import annotations

import email
import email.policy
import gzip
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import brotli
import pytest
import zstandard

from bot.models.database import connect
from bot.settings import load
from bot.storage.urls import open_store
from bot.storage.variants import add_variants
from tests.serve.conftest import Answer, Deployer, Host
from tests.serve.sites import LETTERS, SCRIPT, SITES
from tests.serve.test_processes import running

DOMAIN = "preview.test"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("semantics")
    settings = load({"DATA_DIR": str(folder)}, None)
    database = connect(settings.DATABASE_URL)
    deployer = Deployer(open_store(settings))
    for sha, files, options in SITES.values():
        add_variants(deployer.store, deployer.deploy(files, sha=sha, **options))
    database.close()
    return folder


@pytest.fixture(scope="module", params=["gunicorn", "granian"])
def server(request: pytest.FixtureRequest, data: Path) -> Iterator[Host]:
    with running(request.param, data, PREVIEW_DOMAIN=DOMAIN) as host:
        yield host


@pytest.fixture(params=["path", "host"])
def ask(request: pytest.FixtureRequest, server: Host) -> Callable[..., Answer]:
    """Asks a site for a path, under `/<sha>/` or on its own host. Locations come as they
    are within the site.
    """

    def asked(
        site: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Answer:
        sha = SITES[site][0]
        base = f"/{sha}/" if request.param == "path" else "/"
        host = "localhost" if request.param == "path" else f"{sha}.{DOMAIN}"
        answer = server.ask(method, base + path, {"Host": host, **(headers or {})})
        location = answer.headers["Location"]
        if location is not None and location.startswith("/"):
            assert location.startswith(base)
            answer.headers.replace_header("Location", "/" + location.removeprefix(base))
        if method != "HEAD" and answer.status != 304:
            assert int(answer.headers["Content-Length"]) == len(answer.body)
        return answer

    return asked


NAVIGATION = {"Accept": "text/html,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("site", "path", "headers", "status", "outcome"),
    [
        # Index pages, clean addresses, canonical addresses that keep the query.
        ("plain", "", {}, 200, "home"),
        ("plain", "docs/", {}, 200, "docs"),
        ("plain", "docs/deep/", {}, 200, "deep"),
        ("plain", "about", {}, 200, "about"),
        ("plain", "about.html", {}, 200, "about"),
        ("plain", "docs", {}, 308, "/docs/"),
        ("plain", "docs?a=1&b=%20", {}, 308, "/docs/?a=1&b=%20"),
        ("plain", "docs/deep?q", {}, 308, "/docs/deep/?q"),
        ("plain", "about/?q=1", {}, 308, "/about?q=1"),
        # What is not there.
        ("plain", "nowhere", {}, 404, "none"),
        ("plain", "docs/nowhere", {}, 404, "no such doc"),
        ("plain", "docs/deep/no/where", {}, 404, "no such doc"),
        ("bare", "nowhere", {}, 404, None),
        ("plain", "files/", {}, 404, "none"),
        # Routes of single-page applications, and of nothing else.
        ("spa", "users/7", NAVIGATION, 200, "app"),
        ("spa", "users/7?tab=1", NAVIGATION, 200, "app"),
        ("spa", "users/7", {"Accept": "application/json"}, 404, "none"),
        ("spa", "missing.js", NAVIGATION, 404, "none"),
        ("spa", "assets/missing.css", {"Accept": "*/*"}, 404, "none"),
        ("plain", "users/7", NAVIGATION, 404, "none"),
        # Names.
        ("plain", "%C3%BC%20%C3%B1.txt", {}, 200, "unicode"),
        ("plain", "%c3%bc%20%c3%b1.txt", {}, 200, "unicode"),
        ("plain", "a.b.c.tar", {}, 200, "dots"),
        ("plain", "100%25.txt", {}, 200, "percent"),
        ("plain", "%61bout", {}, 200, "about"),
        ("plain", ".well-known/security.txt", {}, 200, "contact"),
        # Ways out.
        ("plain", "../../../etc/passwd", {}, 404, "none"),
        ("plain", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", {}, 404, "none"),
        ("plain", "..%2f..%2f..%2fetc/passwd", {}, 404, "none"),
        ("plain", "%252e%252e%252fetc%252fpasswd", {}, 404, "none"),
        ("plain", "%2561bout", {}, 404, "none"),
        ("plain", "..%5c..%5cboot.ini", {}, 400, None),
        ("plain", "about%00.html", {}, 400, None),
        ("plain", "%ff", {}, 400, None),
        ("plain", "docs//", {}, 404, "no such doc"),
        # _redirects: every status, splats and placeholders, conditions.
        ("ruled", "splat/a/b%20c", {}, 302, "/docs/a/b%20c"),
        ("ruled", "splat/a?q=1", {}, 302, "/docs/a?q=1"),
        ("ruled", "news/2026/x", {}, 301, "/docs/x?y=2026"),
        ("ruled", "see", {}, 303, "/docs/"),
        ("ruled", "keep", {}, 307, "/docs/"),
        ("ruled", "perm", {}, 308, "/docs/"),
        ("ruled", "show", {}, 200, "docs"),
        ("ruled", "hidden", {}, 404, "none"),
        ("ruled", "taken", {}, 410, "was here"),
        ("ruled", "away/x", {}, 302, "https://else.test/x"),
        ("ruled", "shop?id=7", {}, 302, "/docs/7"),
        ("ruled", "shop", {}, 404, "none"),
        ("ruled", "forced.html", {}, 302, "/docs/"),
        ("ruled", "index.html", {}, 200, "home"),  # a file comes first
        ("ruled", "lang", {"Accept-Language": "de-AT, en;q=0.5"}, 302, "/de/"),
        ("ruled", "lang", {"Accept-Language": "fr"}, 302, "/en/"),
        ("ruled", "land", {"CF-IPCountry": "AT"}, 302, "/at/"),
        ("ruled", "land", {"CF-IPCountry": "DE"}, 404, "none"),
        ("ruled", "_redirects", {}, 404, "none"),
        ("ruled", "_headers", {}, 404, "none"),
        # The same in the other files.
        ("toml", "old/x?q=1", {}, 303, "/docs/x?q=1"),
        ("toml", "show", {}, 200, "docs"),
        ("vercel", "go/a/b", {}, 307, "/docs/a/b"),
        ("vercel", "app/x/y", {}, 200, "home"),
        ("vercel", "gone.html", {}, 308, "/gone"),
        ("vercel", "docs/", {}, 308, "/docs"),
        ("vercel", "docs", {}, 200, "docs"),
        ("vercel", "vercel.json", {}, 404, "none"),
        ("serve", "from/7", {}, 302, "/docs/7"),
        ("serve", "app/x/y", {}, 200, "home"),
        ("serve", "gone.html", {}, 308, "/gone/"),
        ("serve", "docs", {}, 308, "/docs/"),
        ("serve", "serve.json", {}, 404, "none"),
    ],
)
def test_what_a_path_comes_to(
    ask: Callable[..., Answer],
    site: str,
    path: str,
    headers: dict[str, str],
    status: int,
    outcome: str | None,
) -> None:
    """`outcome` is the body, or where a redirect leads; `None`: a page of ours."""
    answer = ask(site, path, headers=headers)
    assert answer.status == status
    if outcome is None:
        assert "DeployStack" in answer.text
        assert "root:" not in answer.text
    else:
        assert (answer.headers["Location"] or answer.text) == outcome
    assert ask(site, path, "HEAD", headers).status == answer.status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_other_methods_are_not_allowed(ask: Callable[..., Answer], method: str) -> None:
    answer = ask("plain", "letters.txt", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("path", "content_type", "cached"),
    [
        ("", "text/html; charset=utf-8", False),
        ("module.mjs", "text/javascript; charset=utf-8", False),
        ("assets/app-B7cD9x2k.js", "text/javascript; charset=utf-8", True),
        ("page.webmanifest", "application/manifest+json; charset=utf-8", False),
        ("app.js.map", "application/json; charset=utf-8", False),
        ("code.wasm", "application/wasm", False),
        ("photo.avif", "image/avif", False),
    ],
)
def test_types_and_how_long_they_are_kept(
    ask: Callable[..., Answer], path: str, content_type: str, cached: bool
) -> None:
    for method in ("GET", "HEAD"):
        answer = ask("plain", path, method)
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Cache-Control"] == (
            "public, max-age=31536000, immutable"
            if cached
            else "public, max-age=0, must-revalidate"
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert answer.headers["X-Robots-Tag"] == "noindex"


def test_conditions(ask: Callable[..., Answer]) -> None:
    first = ask("plain", "letters.txt")
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    assert tag.startswith('"')
    assert tag.endswith('"')
    for headers, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f'"x", W/{tag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"', "If-Modified-Since": date}, 200),
        ({"If-Modified-Since": date}, 304),
        ({"If-Modified-Since": "Tue, 14 Nov 2000 00:00:00 GMT"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": tag}, 200),
        ({"If-Unmodified-Since": "Tue, 14 Nov 2000 00:00:00 GMT"}, 412),
    ):
        for method in ("GET", "HEAD"):
            answer = ask("plain", "letters.txt", method, headers)
            assert answer.status == status, headers
            if status == 304:
                assert answer.body == b""
                assert answer.headers["ETag"] == tag
                assert answer.headers["Cache-Control"] == first.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("headers", "status", "body", "content_range"),
    [
        ({"Range": "bytes=2-4"}, 206, "cde", "bytes 2-4/10"),
        ({"Range": "bytes=7-"}, 206, "hij", "bytes 7-9/10"),
        ({"Range": "bytes=-3"}, 206, "hij", "bytes 7-9/10"),
        ({"Range": "bytes=0-99"}, 206, LETTERS, "bytes 0-9/10"),
        ({"Range": "bytes=10-"}, 416, "", "bytes */10"),
        ({"Range": "bytes=-0"}, 416, "", "bytes */10"),
        ({"Range": "bytes=4-2"}, 200, LETTERS, None),
        ({"Range": "lines=1-2"}, 200, LETTERS, None),
        ({"Range": "bytes=2-4", "If-Range": "{tag}"}, 206, "cde", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Range": "{date}"}, 206, "cde", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Range": '"old"'}, 200, LETTERS, None),
        ({"Range": "bytes=2-4", "If-Range": "W/{tag}"}, 200, LETTERS, None),
        (
            {"Range": "bytes=2-4", "If-Range": "Tue, 14 Nov 2000 00:00:00 GMT"},
            200,
            LETTERS,
            None,
        ),
        ({"Range": "bytes=2-4", "If-None-Match": "{tag}"}, 304, "", None),
    ],
)
def test_ranges(
    ask: Callable[..., Answer],
    headers: dict[str, str],
    status: int,
    body: str,
    content_range: str | None,
) -> None:
    known = ask("plain", "letters.txt").headers
    filled = {
        name: value.format(tag=known["ETag"], date=known["Last-Modified"])
        for name, value in headers.items()
    }
    answer = ask("plain", "letters.txt", headers=filled)
    assert (answer.status, answer.text) == (status, body)
    assert answer.headers["Content-Range"] == content_range
    # A range is of GET alone: RFC 9110, section 14.2.
    if "If-None-Match" not in headers:
        assert ask("plain", "letters.txt", "HEAD", filled).status == 200


def test_several_ranges_at_once(ask: Callable[..., Answer]) -> None:
    answer = ask("plain", "letters.txt", headers={"Range": "bytes=0-1, 4-5,-1"})
    assert answer.status == 206
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.body, policy=email.policy.HTTP)
    parts = [(p["Content-Range"], p.get_content().strip()) for p in message.iter_parts()]
    assert parts == [("bytes 0-1/10", "ab"), ("bytes 4-5/10", "ef"), ("bytes 9-9/10", "j")]


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0, zstd;q=0, *", "gzip"),
        ("gzip;q=0.001, identity;q=0", "gzip"),
        ("identity;q=0, *", "br"),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("identity;q=0", None),  # rather what is there than nothing
        ("*;q=0", None),
        ("", None),
    ],
)
def test_codings_are_negotiated(
    ask: Callable[..., Answer], accept_encoding: str, expected: str | None
) -> None:
    decoders: dict[str | None, Callable[[bytes], bytes]] = {
        None: bytes,
        "br": brotli.decompress,
        "gzip": gzip.decompress,
        "zstd": zstandard.ZstdDecompressor().decompress,
    }
    answer = ask("plain", "module.mjs", headers={"Accept-Encoding": accept_encoding})
    assert answer.headers["Content-Encoding"] == expected
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert decoders[expected](answer.body).decode() == SCRIPT


def test_equal_contents_have_equal_strong_tags_in_every_deployment(
    ask: Callable[..., Answer],
) -> None:
    tags = {ask(site, "docs/").headers["ETag"] for site in ("plain", "ruled", "toml")}
    assert len(tags) == 1
    encoded = ask("plain", "module.mjs", headers={"Accept-Encoding": "br"}).headers["ETag"]
    assert encoded != ask("plain", "module.mjs").headers["ETag"]


@pytest.mark.parametrize(
    ("site", "name"),
    [
        ("ruled", "X-Rule"),
        ("toml", "X-Toml-Rule"),
        ("vercel", "X-Vercel-Rule"),
        ("serve", "X-Serve-Rule"),
    ],
)
def test_header_rules(ask: Callable[..., Answer], site: str, name: str) -> None:
    assert ask(site, "").headers[name] == "yes"


@pytest.mark.parametrize("site", ["toml", "serve"])
def test_folders_are_listed_where_the_project_wants_it(
    ask: Callable[..., Answer], site: str
) -> None:
    assert 'href="./a.txt"' in ask(site, "files/").text


def test_what_depends_on_request_headers_says_so(ask: Callable[..., Answer]) -> None:
    assert ask("ruled", "lang").headers["Vary"] is None
    answer = ask("ruled", "lang", headers={"Accept-Language": "de"})
    assert answer.headers["Vary"] == "Accept-Language"
