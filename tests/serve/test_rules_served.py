"""Rules in force, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.serve.conftest import SHA, Deployer, Host

BASE = f"/{SHA}/"
PAGES = {"index.html": "home", "new.html": "new", "a.html": "a", "404.html": "none"}


def test_targets_are_relative_to_the_deployment_in_path_form_and_in_host_form(
    deployer: Deployer, make_host: Callable[..., Host]
) -> None:
    deployer.deploy({**PAGES, "_redirects": "/old/* /new/:splat 302\n/out https://e.test/x 302"})
    host = make_host(PREVIEW_DOMAIN="preview.test")
    by_host = {"Host": f"{SHA}.preview.test"}
    assert host.get(f"{BASE}old/a%20b?q=1").location == f"{BASE}new/a%20b?q=1"
    assert host.get("/old/a%20b?q=1", **by_host).location == "/new/a%20b?q=1"
    for answer in (host.get(f"{BASE}out"), host.get("/out", **by_host)):
        assert answer.location == "https://e.test/x"


def test_a_rewrite_shows_another_file_under_the_same_address(
    deployer: Deployer, host: Host
) -> None:
    deployer.deploy({**PAGES, "_redirects": "/app/* /new 200\n/gone /a.html 410\n/x /none 200"})
    answer = host.get(f"{BASE}app/deep/path")
    assert (answer.status, answer.text) == (200, "new")
    assert host.get(f"{BASE}app/x", If_None_Match=answer.headers["ETag"]).status == 304
    gone = host.get(f"{BASE}gone")
    assert (gone.status, gone.text) == (410, "a")
    assert host.get(f"{BASE}x").status == 404


def test_a_file_comes_before_a_rule_unless_the_rule_is_forced(
    deployer: Deployer, host: Host
) -> None:
    deployer.deploy({**PAGES, "_redirects": "/a /new 302\n/new /a 302!"})
    assert host.get(f"{BASE}a").text == "a"
    assert host.get(f"{BASE}new").location == f"{BASE}a"


def test_header_rules_change_answers(deployer: Deployer, host: Host) -> None:
    rules = "/*\n  X-All: yes\n/new\n  Cache-Control: no-store\n  X-Robots-Tag: all\n"
    deployer.deploy({**PAGES, "_headers": rules})
    answer = host.get(f"{BASE}new")
    assert answer.headers["X-All"] == "yes"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Robots-Tag"] == "all"
    assert host.get(BASE).headers["X-Robots-Tag"] == "noindex"
    assert host.get(f"{BASE}nowhere").headers["X-All"] == "yes"


def test_rules_files_are_not_served(deployer: Deployer, host: Host) -> None:
    files = {"_redirects": "", "_headers": "", "vercel.json": "{}", "serve.json": "{}"}
    deployer.deploy({**PAGES, **files})
    for name in files:
        assert host.get(BASE + name).status == 404


def test_rules_may_come_from_the_projects_configuration(deployer: Deployer, host: Host) -> None:
    text = '[[redirects]]\nfrom = "/old"\nto = "/new"\nstatus = 302\n[serve]\nlisting = true'
    deployer.deploy({**PAGES, "f/b c.txt": ""}, configuration={"deploystack.toml": text})
    assert host.get(f"{BASE}old").location == f"{BASE}new"
    assert 'href="./b%20c.txt"' in host.get(f"{BASE}f/").text


@pytest.mark.parametrize(
    ("configuration", "path", "expected"),
    [
        ('{"cleanUrls": true}', "new.html", f"{BASE}new"),
        ('{"cleanUrls": true}', "index.html", BASE),
        ('{"cleanUrls": true, "trailingSlash": true}', "new.html", f"{BASE}new/"),
        ('{"trailingSlash": true}', "new", f"{BASE}new/"),
        ('{"trailingSlash": true}', "new/", 200),
        ('{"trailingSlash": false}', "new/", f"{BASE}new"),
        ('{"trailingSlash": false}', "docs/", f"{BASE}docs"),
        ('{"trailingSlash": false}', "docs", 200),
        ('{"cleanUrls": false}', "new", 404),
        ("{}", "docs", f"{BASE}docs/"),
    ],
)
def test_addresses_are_as_clean_as_the_project_wants(
    deployer: Deployer, host: Host, configuration: str, path: str, expected: str | int
) -> None:
    deployer.deploy({**PAGES, "docs/index.html": "d"}, configuration={"vercel.json": configuration})
    answer = host.get(BASE + path)
    assert (answer.location or answer.status) == expected


def test_what_depends_on_the_language_says_so_to_caches(deployer: Deployer, host: Host) -> None:
    deployer.deploy({**PAGES, "_redirects": "/x /a 302 Language=de\n/y /a 200 Language=de"})
    answer = host.get(f"{BASE}x", Accept_Language="de-AT")
    assert (answer.location, answer.headers["Vary"]) == (f"{BASE}a", "Accept-Language")
    answer = host.get(f"{BASE}y", Accept_Language="de")
    assert (answer.text, answer.headers["Vary"]) == ("a", "Accept-Language")
    assert host.get(f"{BASE}x", Accept_Language="fr").status == 404


def test_no_rule_can_split_an_answer_in_two(deployer: Deployer, host: Host) -> None:
    deployer.deploy({**PAGES, "_redirects": "/r/* /:splat 302"})
    answer = host.get(f"{BASE}r/x%0d%0aX-Injected:%20yes")
    assert answer.headers["X-Injected"] is None
    assert "%0D%0A" in (answer.location or "")
