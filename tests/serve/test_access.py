"""Protected projects: a password, or a signed link that expires."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import pytest

from bot.models.access import Access, AccessKind, digest, is_password, open_to_all, protect
from bot.serve.access import share_query
from tests.serve.conftest import SHA, Answer, Deployer, Host, wait_until

BASE = f"/{SHA}/"
FILES = {"index.html": "secret page", "a.js": "x", "404.html": "none"}


@pytest.fixture
def access(deployer: Deployer) -> Access:
    deployer.deploy(FILES)
    return protect(deployer.project().id, AccessKind.PASSWORD, "open sesame")


def enter(host: Host, password: str, path: str = BASE) -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return host.ask("POST", path, form, urlencode({"password": password}).encode())


def cookie_of(answer: Answer) -> str:
    return answer.headers["Set-Cookie"].partition(";")[0]


def test_a_password_is_kept_as_a_digest_alone() -> None:
    kept = digest("open sesame")
    assert "sesame" not in kept
    assert kept != digest("open sesame")
    assert is_password("open sesame", kept)
    assert not is_password("open", kept)
    assert not is_password("", "")


def test_a_protected_deployment_asks_for_its_password(access: Access, host: Host) -> None:
    for path in (BASE, f"{BASE}a.js", f"{BASE}nowhere"):
        answer = host.get(path)
        assert answer.status == 401
        assert "secret" not in answer.text
        assert 'type="password"' in answer.text
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_password_opens_that_deployment(access: Access, host: Host) -> None:
    answer = enter(host, "open sesame", f"{BASE}a.js?x=1")
    assert (answer.status, answer.location) == (303, f"{BASE}a.js")
    attributes = answer.headers["Set-Cookie"]
    for attribute in (f"Path={BASE};", "HttpOnly", "SameSite=Lax"):
        assert attribute in attributes
    seen = host.get(BASE, Cookie=f"other=1; {cookie_of(answer)}")
    assert (seen.status, seen.text) == (200, "secret page")
    assert seen.headers["Cache-Control"] == "private, no-cache"
    assert seen.headers["Vary"] == "Cookie"
    assert host.ask("POST", BASE, {"Cookie": cookie_of(answer)}).status == 405


@pytest.mark.parametrize("password", ["", "wrong", "open sesame ", "ö"])
def test_another_password_does_not(access: Access, host: Host, password: str) -> None:
    answer = enter(host, password)
    assert answer.status == 401
    assert answer.headers["Set-Cookie"] is None


def test_passwords_cannot_be_tried_for_ever(access: Access, host: Host) -> None:
    wait_until(lambda: enter(host, "wrong").status == 429)
    assert enter(host, "open sesame").status == 429


@pytest.mark.parametrize(
    "cookie",
    ["x", "1.2", "9999999999.00", "-1.0", "٣.x", "9" * 400 + ".a", '"', "deploystack_access"],
)
def test_a_forged_cookie_is_worth_nothing(access: Access, host: Host, cookie: str) -> None:
    raw = f"deploystack_access={cookie}".encode().decode("latin-1")
    assert host.get(BASE, Cookie=raw).status == 401


def test_a_shared_link_lets_in_until_it_expires(access: Access, host: Host) -> None:
    link = share_query(access, int(time.time()) + 60)
    answer = host.get(f"{BASE}a.js?q=1&{link}")
    assert (answer.status, answer.location) == (303, f"{BASE}a.js?q=1")
    assert host.get(BASE, Cookie=cookie_of(answer)).text == "secret page"
    assert host.get(f"{BASE}?{share_query(access, int(time.time()) - 1)}").status == 401
    assert host.get(f"{BASE}?{link}0").status == 401


def test_a_link_is_no_cookie_and_a_cookie_no_link(access: Access, host: Host) -> None:
    token = share_query(access, int(time.time()) + 60).partition("=")[2]
    assert host.get(BASE, Cookie=f"deploystack_access={token}").status == 401


def test_a_new_protection_ends_what_was_given_out(
    access: Access, host: Host, deployer: Deployer
) -> None:
    cookie = cookie_of(enter(host, "open sesame"))
    assert host.get(BASE, Cookie=cookie).status == 200
    protect(deployer.project().id, AccessKind.LINK)
    wait_until(lambda: host.get(BASE, Cookie=cookie).status == 403)
    open_to_all(deployer.project().id)
    wait_until(lambda: host.get(BASE).status == 200)


def test_a_project_with_links_alone_has_no_form(deployer: Deployer, host: Host) -> None:
    deployer.deploy(FILES)
    access = protect(deployer.project().id, AccessKind.LINK)
    answer = host.get(BASE)
    assert (answer.status, "password" in answer.text) == (403, False)
    assert host.get(f"{BASE}?{share_query(access, int(time.time()) + 60)}").status == 303


def test_keys_do_not_print(access: Access) -> None:
    assert access.signing_key not in repr(access)
    assert access.password not in repr(access)
