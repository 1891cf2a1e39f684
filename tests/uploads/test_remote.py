from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest

from bot.errors import UserError
from bot.uploads.remote import Remote, git_options, is_public, parse_remote, resolve

ALLOWED = ("github.com", "codeberg.org")
EVERYWHERE = ("*",)


@pytest.mark.parametrize(
    ("given", "url", "name"),
    [
        ("https://github.com/owner/site", "https://github.com/owner/site", "site"),
        ("https://github.com/owner/site.git/", "https://github.com/owner/site.git", "site"),
        ("https://GitHub.com:443/owner/site", "https://github.com/owner/site", "site"),
        ("https://github.com./owner/site", "https://github.com/owner/site", "site"),
    ],
)
def test_an_allowed_address_is_brought_into_one_form(given: str, url: str, name: str) -> None:
    remote = parse_remote(given, "", ALLOWED)
    assert (remote.url, remote.name, remote.ref) == (url, name, "HEAD")
    assert not remote.trusted


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///etc", "url-not-https"),
        ("/etc", "url-not-https"),
        ("../repository", "url-not-https"),
        ("ext::sh -c id", "url-malformed"),
        ("ext::sh", "url-not-https"),
        ("ssh://git@github.com/owner/site", "url-not-https"),
        ("git@github.com:owner/site", "url-not-https"),
        ("git://github.com/owner/site", "url-not-https"),
        ("http://github.com/owner/site", "url-not-https"),
        ("ftp://github.com/owner/site", "url-not-https"),
        ("https://github.com:22/owner/site", "url-not-https"),
        ("https://user:secret@github.com/owner/site", "url-credentials"),
        ("https://github.com@evil.example/owner/site", "url-credentials"),
        ("https://evil.example/github.com/site", "url-host-not-allowed"),
        ("https://github.com.evil.example/owner/site", "url-host-not-allowed"),
        ("https://sub.github.com/owner/site", "url-host-not-allowed"),
        ("https://localhost/owner/site", "url-host-not-allowed"),
        ("https://169.254.169.254/latest", "url-host-not-allowed"),
        ("https://github.com", "url-malformed"),
        ("https://github.com/", "url-malformed"),
        ("https://github.com/a/../b", "url-malformed"),
        ("https://github.com/a?x=y", "url-malformed"),
        ("https://github.com/a#x", "url-malformed"),
        ("https://github.com/a b", "url-malformed"),
        ("https://github.com/a\nHost: evil", "url-malformed"),
        ("https://github.com\\@evil.example/a", "url-malformed"),
        ("https://g\u0131thub.com/a/b", "url-malformed"),
        ("https://github.com:port/a", "url-malformed"),
        ("https://[::1/a", "url-malformed"),
        ("https://-x/a", "url-malformed"),
        ("https://", "url-malformed"),
        ("", "url-not-https"),
        ("https://github.com/" + "a" * 3000, "url-malformed"),
    ],
)
def test_any_other_address_is_refused(url: str, code: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_remote(url, "", ALLOWED)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "ref", ["main", "v1.0", "feature/x", "release-2", "日本", "a" * 40, "refs/heads/main", "HEAD"]
)
def test_names_of_branches_and_tags_and_commits_are_taken(ref: str) -> None:
    assert parse_remote("https://github.com/a/b", ref, ALLOWED).ref == ref


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=touch /tmp/x", "-x", "a b", "a..b", "a:b", "+a:b", "a~1", "a^", "a*", "a\\b",
        "@{1}", "a@{0}", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.", "a\nb", "@", "x" * 256,
    ],
)  # fmt: skip
def test_a_ref_that_git_could_take_for_something_else_is_refused(ref: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_remote("https://github.com/a/b", ref, ALLOWED)
    assert caught.value.code == "invalid-ref"


PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_known(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["140.82.121.3", "2606:50c0:8000::153", "64:ff9b::8c52:7903", "2002:8c52:7903::1"]
)
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0",
        "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "[::]", "169.254.169.254", "2852039166",
    ],
)  # fmt: skip
def test_every_way_to_write_this_host_is_refused(host: str, no_proxy: None) -> None:
    remote = parse_remote(f"https://{host}/owner/site", "", EVERYWHERE)
    with pytest.raises(UserError) as caught:
        resolve(remote)
    assert caught.value.code == "url-private-address"


def lookup_of(*addresses: str) -> object:
    def look_up(host: str, port: int) -> Sequence[str]:
        return addresses

    return look_up


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def remote(no_proxy: None) -> Remote:
    return parse_remote("https://git.example/owner/site", "", EVERYWHERE)


def test_one_private_address_among_many_is_enough_to_refuse(remote: Remote) -> None:
    with pytest.raises(UserError) as caught:
        resolve(remote, lookup_of("140.82.121.3", "10.0.0.1"))  # type: ignore[arg-type]
    assert caught.value.code == "url-private-address"


def test_git_connects_to_the_very_addresses_that_were_judged(remote: Remote) -> None:
    """A name that answers otherwise a second later gains nothing (DNS rebinding)."""
    found = resolve(remote, lookup_of("140.82.121.3", "2606:50c0:8000::153"))  # type: ignore[arg-type]
    assert git_options(remote, found) == (
        "-c", "protocol.allow=never",
        "-c", "protocol.https.allow=always",
        "-c", "http.followRedirects=false",
        "-c", "credential.helper=",
        "-c", "http.curloptResolve=git.example:443:140.82.121.3,[2606:50c0:8000::153]",
    )  # fmt: skip


def test_a_host_without_addresses_is_unknown(remote: Remote) -> None:
    with pytest.raises(UserError) as caught:
        resolve(remote, lookup_of())  # type: ignore[arg-type]
    assert caught.value.code == "url-host-unknown"


def test_behind_a_proxy_only_named_hosts_go_unresolved(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    named = parse_remote("https://github.com/a/b", "", ALLOWED)
    assert resolve(named, lookup_of("10.0.0.1")) == ()  # type: ignore[arg-type]
    with pytest.raises(UserError):
        resolve(remote, lookup_of("10.0.0.1"))  # type: ignore[arg-type]


def test_an_origin_that_the_operator_names_may_be_private_and_plain(no_proxy: None) -> None:
    allowed = ("http://127.0.0.1:3000", "https://git.internal")
    remote = parse_remote("http://127.0.0.1:3000/owner/site", "", allowed)
    assert resolve(remote) == ("127.0.0.1",)
    inner = parse_remote("https://git.internal/owner/site", "", allowed)
    assert resolve(inner, lookup_of("10.0.0.1")) == ("10.0.0.1",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/a", "http://127.0.0.1:3001/a", "https://127.0.0.1/a"]
)
def test_a_trusted_origin_opens_no_other_port_or_scheme(url: str) -> None:
    with pytest.raises(UserError):
        parse_remote(url, "", ("http://127.0.0.1:3000",))
