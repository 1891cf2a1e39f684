"""Rules files: from their text to what they do, as tables."""

from __future__ import annotations

import time

import pytest

from bot.serve.rules import Asked, Rules
from bot.serve.rules.draft import MOST_REDIRECTS, Draft
from bot.serve.rules.netlify import read_headers, read_redirects
from bot.serve.rules.pattern import BadPattern, express, fill, glob, netlify


def redirects(text: str) -> Rules:
    draft = Draft()
    read_redirects(text, draft)
    return draft.rules()


def headers(text: str) -> Rules:
    draft = Draft()
    read_headers(text, draft)
    return draft.rules()


def outcome(rules: Rules, path: str, **asked: str) -> tuple[str, int] | None:
    hit = rules.redirects.match(Asked(path, **asked))
    return (hit.target, hit.status) if hit is not None else None


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("/a", "/a", {}),
        ("/a", "/a/", {}),
        ("/a/", "/a", {}),
        ("/a", "/ab", None),
        ("/", "/", {}),
        ("/a%20b", "/a b", {}),
        ("/a.b", "/axb", None),
        ("/news/*", "/news/2024/x", {"splat": "2024/x"}),
        ("/news/*", "/news/", {"splat": ""}),
        ("/news/*", "/news", {"splat": ""}),
        ("/news/*", "/newspaper", None),
        ("/*", "/", {"splat": ""}),
        ("/*", "/a\nb", {"splat": "a\nb"}),
        ("/:lang/docs/:page", "/en/docs/x", {"lang": "en", "page": "x"}),
        ("/:lang/docs/:page", "/en/docs/x/y", None),
        ("/:year/*", "/2024/a/b", {"year": "2024", "splat": "a/b"}),
        ("/*/old", "/x/y/old", {"splat": "x/y"}),
        ("/a:b", "/a:b", {}),
    ],
)
def test_netlify_patterns(source: str, path: str, expected: dict[str, str] | None) -> None:
    assert netlify(source).match(path) == expected


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("/blog/:slug", "/blog/x", {"slug": "x"}),
        ("/blog/:slug", "/blog/x/y", None),
        ("/blog/:path*", "/blog/x/y", {"path": "x/y"}),
        ("/blog/:path*", "/blog", {"path": ""}),
        ("/blog/:path+", "/blog", None),
        ("/blog/:slug?", "/blog", {"slug": ""}),
        ("/(.*)", "/x/y", {"_1": "x/y"}),
        (r"/post/:id(\d+)", "/post/12", {"id": "12"}),
        (r"/post/:id(\d+)", "/post/ab", None),
        ("/:lang(en|de)/x", "/de/x", {"lang": "de"}),
        ("/:lang(en|de)/x", "/fr/x", None),
    ],
)
def test_vercel_patterns(source: str, path: str, expected: dict[str, str] | None) -> None:
    assert express(source).match(path) == expected


@pytest.mark.parametrize(
    ("source", "path", "matches"),
    [
        ("app/**", "/app/a/b", True),
        ("/app/*", "/app/a", True),
        ("/app/*", "/app/a/b", False),
        ("/old/:id", "/old/7", True),
        ("/**", "/anything", True),
    ],
)
def test_serve_patterns(source: str, path: str, matches: bool) -> None:
    assert (glob(source).match(path) is not None) is matches


@pytest.mark.parametrize(
    ("compile_source", "source"),
    [
        (netlify, "/*/x/*"),
        (netlify, "/:a/:a"),
        (express, "/(.*)/(.*)"),
        (express, "/:a-:b"),
        (express, "/:a((x+)+)"),
        (express, r"/:a((?:a|aa)+$)"),
        (express, "/:a([0-9]{9})"),
        (glob, "/**/x/**"),
    ],
)
def test_patterns_that_could_be_abused_are_refused(compile_source, source: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadPattern):
        compile_source(source).match("/x")


def test_the_worst_pattern_on_the_longest_path_takes_no_time() -> None:
    pattern = netlify("/:a/:b/:c/*/x/:d/:e")
    started = time.perf_counter()
    for _ in range(20):
        pattern.match("/a" * 1024)
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("target", "values", "expected"),
    [
        ("/x/:splat", {"splat": "a/b c"}, "/x/a/b%20c"),
        ("/x/:splat", {"splat": "a\r\nSet-Cookie: x"}, "/x/a%0D%0ASet-Cookie:%20x"),
        ("/x/:other", {"splat": "a"}, "/x/:other"),
        ("/x/:path*", {"path": "a/b"}, "/x/a/b"),
        ("/x/:a?id=:b", {"a": "1", "b": "2"}, "/x/1?id=2"),
        ("/x/$1", {"_1": "a"}, "/x/a"),
        ("https://e.test:8080/:a", {"a": "?"}, "https://e.test:8080/%3F"),
        ("/ü%20", {}, "/%C3%BC%20"),
    ],
)
def test_targets_are_filled_and_safe(target: str, values: dict[str, str], expected: str) -> None:
    assert fill(target, values) == expected


RULES = """
# comments are skipped
/home        /                   # and here too
/temporary   /new            302
/see         /other          303
/keep        /kept           307
/perm        /permanent      308
/gone        /gone.html      410
/app/*       /app/index.html 200
/store id=:id            /blog/:id          301
/shop  tag=a             /tags/a            301
/out/*       https://elsewhere.test/:splat  302
/greet       /fr/  302  Language=fr,de
/greet       /au/  302  Country=au,nz
/greet       /en/  302
/query       /with?own=1
/loop/*      /loop/  302
/forced      /by-force 301!
"""


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("/home", {}, ("/", 301)),
        ("/home/", {}, ("/", 301)),
        ("/home", {"query": "a=1"}, ("/?a=1", 301)),
        ("/temporary", {}, ("/new", 302)),
        ("/see", {}, ("/other", 303)),
        ("/keep", {}, ("/kept", 307)),
        ("/perm", {}, ("/permanent", 308)),
        ("/gone", {}, ("/gone.html", 410)),
        ("/app/a/b", {}, ("/app/index.html", 200)),
        ("/store", {"query": "id=7&x=1"}, ("/blog/7", 301)),
        ("/store", {}, None),
        ("/shop", {"query": "tag=a"}, ("/tags/a", 301)),
        ("/shop", {"query": "tag=b"}, None),
        ("/out/a/b", {}, ("https://elsewhere.test/a/b", 302)),
        ("/greet", {"accept_language": "fr-CA, en;q=0.5"}, ("/fr/", 302)),
        ("/greet", {"accept_language": "en, de;q=0.5"}, ("/fr/", 302)),
        ("/greet", {"country": "AU"}, ("/au/", 302)),
        ("/greet", {}, ("/en/", 302)),
        ("/query", {"query": "a=1"}, ("/with?own=1", 301)),
        ("/loop/x", {}, ("/loop/", 302)),
        ("/loop/", {}, None),
        ("/nothing", {}, None),
    ],
)
def test_what_redirects_do(
    path: str, asked: dict[str, str], expected: tuple[str, int] | None
) -> None:
    assert outcome(redirects(RULES), path, **asked) == expected


def test_only_forced_rules_count_before_files() -> None:
    rules = redirects(RULES)
    assert not rules.warnings
    assert rules.forced.match(Asked("/home")) is None
    assert rules.forced.match(Asked("/forced")) is not None


def test_the_first_rule_that_matches_counts_with_or_without_a_wildcard() -> None:
    assert outcome(redirects("/a/* /one\n/a/b /two"), "/a/b") == ("/one", 301)
    assert outcome(redirects("/a/b /two\n/a/* /one"), "/a/b") == ("/two", 301)


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("/alone", "line 2: expected `from to [status]`"),
        ("/a /b 999", "line 2: status 999 is not one of"),
        ("/a /b 301 perhaps", "line 2: 'perhaps' is not understood"),
        ("/a /b 301 Role=admin", "line 2: the condition Role is not supported"),
        ("a /b", "line 2: 'a' does not begin with a slash"),
        ("/a b", "line 2: 'b' is neither a path nor an address"),
        ("/a javascript:alert(1)", "line 2: 'javascript:alert(1)' is neither"),
        ("https://old.test/a /b", "line 2: rules for one host are not supported"),
        ("/api/* https://api.test/:splat 200", "line 2: status 200 to another host would be"),
        ("/*/a/* /b", "line 2: '/*/a/*' cannot be used: it has more than one wildcard"),
        ("/a /" + "b" * 3000, "line 2: longer than 2000 characters"),
    ],
)
def test_a_bad_redirect_is_left_out_and_its_line_named(line: str, warning: str) -> None:
    rules = redirects(f"# first\n{line}\n/good /x")
    assert warning in rules.warnings[0]
    assert len(rules.warnings) == 1
    assert outcome(rules, "/good") == ("/x", 301)
    assert len(rules.redirects) == 1


def test_too_many_redirects_are_left_out_and_warned_of() -> None:
    rules = redirects("\n".join(f"/a{number} /b" for number in range(MOST_REDIRECTS + 100)))
    assert len(rules.redirects) == MOST_REDIRECTS
    assert f"_redirects, line {MOST_REDIRECTS + 1}: more than" in rules.warnings[0]
    assert len(rules.warnings) == 51


HEADERS = """
/*
  X-Frame-Options: DENY
  Link: </a.css>; rel=preload
/assets/*
  Cache-Control: public, max-age=3600
  Link: </b.css>; rel=preload
  ! X-Frame-Options
/page
  Content-Type: text/plain
  Vary: Origin
"""
OWN = [("Content-Type", "text/html"), ("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/x",
            {
                "Content-Type": "text/html",
                "Cache-Control": "no-cache",
                "Vary": "Accept-Encoding",
                "X-Frame-Options": "DENY",
                "Link": "</a.css>; rel=preload",
            },
        ),
        (
            "/assets/x",
            {
                "Content-Type": "text/html",
                "Cache-Control": "public, max-age=3600",
                "Vary": "Accept-Encoding",
                "Link": "</a.css>; rel=preload, </b.css>; rel=preload",
            },
        ),
        (
            "/page",
            {
                "Content-Type": "text/plain",
                "Cache-Control": "no-cache",
                "Vary": "Accept-Encoding, Origin",
                "X-Frame-Options": "DENY",
                "Link": "</a.css>; rel=preload",
            },
        ),
    ],
)
def test_what_header_rules_do(path: str, expected: dict[str, str]) -> None:
    rules = headers(HEADERS)
    assert not rules.warnings
    assert dict(rules.headers.apply(path, OWN)) == expected


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("  Set-Cookie: a=b", "line 2: Set-Cookie is the host's own to set"),
        ("  service-worker-allowed: /", "line 2: service-worker-allowed is the host's own"),
        ("  Content-Length: 0", "line 2: Content-Length is the host's own"),
        ("  X-Accel-Redirect: /x", "line 2: X-Accel-Redirect is the host's own"),
        ("  X-Sendfile: /etc/passwd", "line 2: X-Sendfile is the host's own"),
        ("  Clear-Site-Data: *", "line 2: Clear-Site-Data is the host's own"),
        ("  no colon", "line 2: expected `Name: value`"),
        ("  Bad Name: x", "line 2: 'Bad Name' is no header's name"),
        ("  X: \u2603", "line 2: the value of X has characters"),
    ],
)
def test_a_bad_header_is_left_out_and_its_line_named(line: str, warning: str) -> None:
    rules = headers(f"/*\n{line}\n  X-Good: yes")
    assert warning in rules.warnings[0]
    assert rules.headers.apply("/", []) == [("X-Good", "yes")]


def test_a_header_without_a_path_is_warned_of() -> None:
    assert "line 1: a header without a path" in headers("X-A: b").warnings[0]
