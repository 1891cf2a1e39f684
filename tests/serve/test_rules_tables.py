"""Rules as tables: deploystack.toml, vercel.json, serve.json."""

from __future__ import annotations

import json

import pytest

from bot.serve.rules import Asked
from bot.serve.rules.draft import Draft
from bot.serve.rules.tables import read_serve, read_toml, read_vercel
from tests.serve.test_rules import outcome


def test_the_same_rules_in_toml() -> None:
    draft = Draft()
    text = """
    [[redirects]]
    from = "/old/*"
    to = "/new/:splat"
    status = 302
    force = true
    query = {id = ":id"}
    conditions = {Language = ["de"], Country = ["at"]}
    [[headers]]
    for = "/*"
    values = {X-A = "b"}
    [serve]
    clean_urls = true
    trailing_slash = false
    listing = true
    spa = true
    """
    read_toml(text, draft, "deploystack.toml")
    rules = draft.rules()
    assert rules.warnings == ()
    hit = rules.forced.match(Asked("/old/x", "id=1", "AT", "de"))
    assert hit is not None
    assert (hit.target, hit.status) == ("/new/x", 302)
    assert hit.vary == ("CF-IPCountry", "Accept-Language")
    assert rules.headers.apply("/", []) == [("X-A", "b")]
    switches = (rules.clean_urls, rules.trailing_slash, rules.listing, rules.spa)
    assert switches == (True, False, True, True)


def test_the_same_rules_in_vercel_json() -> None:
    draft = Draft()
    content = {
        "redirects": [
            {"source": "/old/:path*", "destination": "/new/:path*"},
            {"source": "/t", "destination": "/u", "permanent": False},
            {"source": "/h", "destination": "/i", "has": [{"type": "host"}]},
        ],
        "rewrites": [{"source": "/(.*)", "destination": "/index.html"}],
        "headers": [{"source": "/(.*)", "headers": [{"key": "X-A", "value": "b"}]}],
        "cleanUrls": True,
        "trailingSlash": True,
        "routes": [],
    }
    read_vercel(json.dumps(content), draft)
    rules = draft.rules()
    assert outcome(rules, "/old/a/b") == ("/new/a/b", 308)
    assert outcome(rules, "/t") == ("/u", 307)
    assert outcome(rules, "/else") == ("/index.html", 200)
    assert rules.forced.match(Asked("/else")) is None
    assert rules.headers.apply("/q", []) == [("X-A", "b")]
    assert (rules.clean_urls, rules.trailing_slash) == (True, True)
    assert [warning.partition(":")[0] for warning in rules.warnings] == [
        "vercel.json, redirects 3", "vercel.json, routes",
    ]  # fmt: skip


def test_the_same_rules_in_serve_json() -> None:
    draft = Draft()
    content = {
        "redirects": [{"source": "/from", "destination": "/to", "type": 302}],
        "rewrites": [{"source": "app/**", "destination": "/index.html"}],
        "headers": [{"source": "**/*.js", "headers": [{"key": "X-A", "value": "b"}]}],
        "cleanUrls": False,
        "directoryListing": True,
    }
    read_serve(json.dumps(content), draft)
    rules = draft.rules()
    assert outcome(rules, "/from") == ("/to", 302)
    assert rules.forced.match(Asked("/app/x")) is not None
    assert (rules.clean_urls, rules.listing) == (False, True)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_toml, "not [ toml"),
        (read_toml, "redirects = 7\nheaders = ['x']\nserve = 1"),
        (read_toml, "[[redirects]]\nfrom = 1\nto = [2]\nstatus = 'x'"),
        (read_vercel, "[" * 100_000),
        (read_vercel, "[]"),
        (read_vercel, '{"redirects": {"a": 1}, "rewrites": [1], "headers": [{"headers": 1}]}'),
        (read_serve, '{"rewrites": [{"source": null}], "headers": [{"headers": [1]}]}'),
        (read_serve, "nonsense"),
    ],
)
def test_a_file_of_the_wrong_shape_does_nothing_and_harms_nothing(read, text: str) -> None:  # type: ignore[no-untyped-def]
    draft = Draft()
    read(text, draft, "file")
    assert len(draft.rules().redirects) == 0
    assert len(draft.rules().headers) == 0
