"""Names that move: branches, pull requests, production, custom domains."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.models import domains
from bot.models.addresses import address, alias_path, slug
from bot.models.projects import point_alias
from bot.models.status import AliasKind
from tests.serve.conftest import SHA, Deployer, Host

OTHER = "f" * 40
BRANCH, PRODUCTION = AliasKind.BRANCH, AliasKind.PRODUCTION


@pytest.mark.parametrize(
    ("kind", "name", "project", "expected"),
    [
        (BRANCH, "main", "octo/site", "main--octo-site"),
        (BRANCH, "feature/New_Thing", "octo/site", "feature-new-thing--octo-site"),
        (BRANCH, "a--b", "o/s", "a-b--o-s"),
        (BRANCH, "Ünï", "o/s", "n--o-s"),
        (BRANCH, "...", "o/s", "x--o-s"),
        (AliasKind.PULL_REQUEST, "7", "octo/site", "pr-7--octo-site"),
        (PRODUCTION, "production", "octo/site", "octo-site"),
    ],
)
def test_what_an_alias_is_found_by(kind: AliasKind, name: str, project: str, expected: str) -> None:
    assert address(kind, name, project) == expected


def test_a_long_address_is_one_label_and_its_own() -> None:
    made = {address(BRANCH, "b" * 80 + end, "octo/site") for end in ("1", "2")}
    assert len(made) == 2
    assert all(len(label) <= 63 and label.endswith("--octo-site") for label in made)


@pytest.mark.parametrize(
    ("found", "path"),
    [("main--octo-site", "/~/octo-site/main/"), ("octo-site", "/~/octo-site/production/")],
)
def test_an_address_has_a_path_form(found: str, path: str) -> None:
    assert alias_path(found) == path


def test_a_slug_is_never_empty() -> None:
    assert slug("///") == "x"


def point(deployer: Deployer, kind: AliasKind, name: str, deployment_id: str) -> None:
    point_alias(deployer.project().id, kind, name, deployment_id)


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (BRANCH, "feature/x", "/~/octo-site/feature-x/"),
        (AliasKind.PULL_REQUEST, "7", "/~/octo-site/pr-7/"),
        (PRODUCTION, "production", "/~/octo-site/production/"),
    ],
)
def test_an_alias_moves_and_the_next_request_sees_it(
    deployer: Deployer, host: Host, make_host: Callable[..., Host],
    kind: AliasKind, name: str, path: str,
) -> None:  # fmt: skip
    hosts = (host, make_host())  # two web processes, as it were
    first = deployer.deploy({"index.html": "first", "a/index.html": "a"})
    second = deployer.deploy({"index.html": "second"}, sha=OTHER)
    assert [h.get(path).status for h in hosts] == [404, 404]
    for deployment_id, text in ((first, "first"), (second, "second"), (first, "first")):
        point(deployer, kind, name, deployment_id)
        assert [h.get(path).text for h in hosts] == [text, text]
    assert host.get(path.rstrip("/") + "?q=1").location == path + "?q=1"
    assert host.get(path + "a").location == path + "a/"


def test_aliases_are_hosts_of_the_preview_domain(
    deployer: Deployer, make_host: Callable[..., Host]
) -> None:
    deployment_id = deployer.deploy({"index.html": "home"}, environment="production")
    point(deployer, BRANCH, "main", deployment_id)
    point(deployer, PRODUCTION, "production", deployment_id)
    host = make_host(PREVIEW_DOMAIN="preview.test")
    for label in ("main--octo-site", "octo-site"):
        assert host.get("/", Host=f"{label}.preview.test").text == "home"
    assert host.get("/", Host="none--octo-site.preview.test").status == 404


def prove(deployer: Deployer, name: str) -> None:
    domains.note_proof(domains.claim(deployer.project().id, name), "")


def test_a_custom_domain_follows_production(deployer: Deployer, host: Host) -> None:
    first = deployer.deploy({"index.html": "first"}, environment="production")
    second = deployer.deploy({"index.html": "second"}, sha=OTHER, environment="production")
    assert host.get("/", Host="www.example.org").text == "the bot's own"
    point(deployer, PRODUCTION, "production", first)
    prove(deployer, "www.example.org")
    assert host.get("/", Host="WWW.example.org:443").text == "first"
    point(deployer, PRODUCTION, "production", second)
    assert host.get("/", Host="www.example.org").text == "second"
    assert host.get("/", Host="other.example.org").text == "the bot's own"


def test_a_build_that_knows_its_base_path_is_shown_there(deployer: Deployer, host: Host) -> None:
    page = f'<script src="/{SHA}/app.js"></script>'
    point(deployer, BRANCH, "main", deployer.deploy({"index.html": page}))
    answer = host.get("/~/octo-site/main/users/7?q=1")
    assert (answer.status, answer.location) == (302, f"/{SHA}/users/7?q=1")
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_first_project_keeps_an_address_that_another_comes_to_share(
    deployer: Deployer, host: Host
) -> None:
    one = deployer.deploy({"index.html": "a/b-c"}, project="a/b-c")
    two = deployer.deploy({"index.html": "a-b/c"}, project="a-b/c", sha=OTHER)
    point_alias(deployer.project("a/b-c").id, BRANCH, "main", one)
    point_alias(deployer.project("a-b/c").id, BRANCH, "main", two)
    assert host.get("/~/a-b-c/main/").text == "a/b-c"


def test_root_absolute_requests_of_an_alias_are_led_into_it(deployer: Deployer, host: Host) -> None:
    point(deployer, BRANCH, "main", deployer.deploy({"index.html": "", "x.css": ""}))
    referer = f"http://127.0.0.1:{host.port}/~/octo-site/main/about"
    assert host.get("/x.css", Referer=referer).location == "/~/octo-site/main/x.css"


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("www.example.org", 200),
        (f"{SHA}.preview.test", 200),
        ("octo-site.preview.test", 200),
        ("preview.test", 200),
        (f"{OTHER}.preview.test", 404),
        ("else.preview.test", 404),
        ("else.example.org", 404),
        ("", 404),
    ],
)
def test_a_front_server_may_ask_whether_a_host_is_known(
    deployer: Deployer, make_host: Callable[..., Host], domain: str, status: int
) -> None:
    deployment_id = deployer.deploy({"index.html": "x"})
    point(deployer, PRODUCTION, "production", deployment_id)
    prove(deployer, "www.example.org")
    host = make_host(PREVIEW_DOMAIN="preview.test")
    assert host.get(f"/_deploystack/known-host?domain={domain}").status == status
