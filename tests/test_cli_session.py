"""Which host a command speaks to, and which token it shows there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bot.commands import link, servers, session
from bot.commands.endings import Exit, exit_code
from bot.commands.servers import Servers
from bot.errors import SystemFault, UserError

HERE, THERE, EVIL = "https://here.example", "https://there.example", "https://evil.example"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("URL", "TOKEN", "PROJECT"):
        monkeypatch.delenv(f"DEPLOYSTACK_{name}", raising=False)
    servers.write(Servers(HERE, {HERE: "dst_here", THERE: "dst_there"}))
    return tmp_path


@pytest.mark.parametrize(
    ("option", "linked", "url", "token", "expected"),
    [
        ("", "", "", "", (HERE, "dst_here")),
        (THERE, "", "", "", (THERE, "dst_there")),
        ("", THERE, "", "", (THERE, "dst_there")),
        ("", EVIL, "", "", (HERE, "dst_here")),
        ("", EVIL, "", "dst_ci", (HERE, "dst_ci")),
        ("", THERE, "", "dst_ci", (HERE, "dst_ci")),
        ("", THERE, EVIL, "", (EVIL, "")),
        (THERE, "", HERE, "dst_ci", (THERE, "dst_ci")),
    ],
)
def test_a_token_goes_only_where_its_owner_said(
    option: str,
    linked: str,
    url: str,
    token: str,
    expected: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPLOYSTACK_URL", url)
    monkeypatch.setenv("DEPLOYSTACK_TOKEN", token)
    assert session.destination(option, linked) == expected


def test_tokens_are_kept_for_their_owner_alone() -> None:
    assert stat.S_IMODE(servers.path().stat().st_mode) == 0o600
    assert servers.read() == Servers(HERE, {HERE: "dst_here", THERE: "dst_there"})


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"current": 1}', '{"current": "", "tokens": 1}']
)
def test_a_file_that_cannot_be_read_is_said_and_not_shown(content: str) -> None:
    servers.path().write_text(content)
    with pytest.raises(UserError) as caught:
        servers.read()
    assert caught.value.code == "configuration-unreadable"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("deploy.example.com/", "https://deploy.example.com"),
        ("localhost:8000", "http://localhost:8000"),
        ("http://10.0.0.1/base/", "http://10.0.0.1/base"),
    ],
)
def test_an_address_may_be_short(given: str, expected: str) -> None:
    assert servers.normalised(given) == expected


@pytest.mark.parametrize("given", ["", "ftp://host", "https://", "https://me:secret@host"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(UserError):
        servers.normalised(given)


def test_a_link_counts_for_the_folders_below_and_stays_out_of_git(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    link.write(tmp_path, link.Link(HERE, "docs"))
    assert link.read(tmp_path / "a/b") == link.Link(HERE, "docs")
    assert (tmp_path / ".deploystack/.gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("conflict", ""), Exit.YOURS),
        (SystemFault("unreachable", ""), Exit.FAULT),
        (UserError("build-not-ready", ""), Exit.BUILD_FAILED),
        (UserError("unauthorized", ""), Exit.NOT_ALLOWED),
        (UserError("forbidden", ""), Exit.NOT_ALLOWED),
        (UserError("project-not-found", ""), Exit.NOT_FOUND),
    ],
)
def test_how_a_command_ends_says_whose_affair_it_is(error: UserError, expected: Exit) -> None:
    assert exit_code(error) is expected
