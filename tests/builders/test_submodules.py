"""Submodules are fetched from where they may be, and from nowhere else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bot.builders.source import Repositories
from bot.builders.submodules import allowed_url, inside
from bot.errors import SystemFault, UserError
from bot.secret import Secret
from tests.builders.conftest import ListLog
from tests.builders.repositories import GitServer, Repository

PARENT = "https://github.com/owner/site.git"
TOKEN = "ghs_for_one_server"


def export(root: Path, url: str, sha: str, target: Path, token: str = "") -> ListLog:
    log = ListLog()
    repositories = Repositories(root, lambda _project: Secret(token) if token else None)
    with repositories.fetch("owner/site", url, sha, log, threading.Event()) as source:
        source.export(target)
    return log


def with_submodule(repository: Repository, url: str, path: str, sha: str) -> str:
    """Commit a submodule as it is recorded, without fetching it."""
    modules = repository.path / ".gitmodules"
    known = modules.read_text() if modules.exists() else ""
    modules.write_text(f'{known}[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
    repository.git("add", ".gitmodules")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
    repository.git("commit", "--quiet", "--message", "submodule")
    return repository.git("rev-parse", "HEAD")


def test_submodules_are_exported_at_their_recorded_commits(tmp_path: Path) -> None:
    inner = Repository(tmp_path / "origin/owner/inner.git")
    inner_sha = inner.commit({"inner.txt": "inner"})
    theme = Repository(tmp_path / "origin/owner/theme.git")
    theme.commit({"theme.css": "old"})
    theme_sha = with_submodule(theme, "../inner.git", "deep/inner", inner_sha)
    theme.commit({"theme.css": "newer, and not recorded"})
    site = Repository(tmp_path / "origin/owner/site.git")
    site.commit({"index.html": "x"})
    sha = with_submodule(site, "../theme.git", "themes/one", theme_sha)
    log = export(tmp_path / "mirrors", str(site.path), sha, tmp_path / "tree")
    assert (tmp_path / "tree/themes/one/theme.css").read_text() == "old"
    assert (tmp_path / "tree/themes/one/deep/inner/inner.txt").read_text() == "inner"
    assert any(line.startswith("Submodule themes/one: ") for line in log.lines)


def test_a_submodule_on_the_same_server_gets_the_token(tmp_path: Path) -> None:
    theme = Repository(tmp_path / "origin/owner/theme.git")
    theme_sha = theme.commit({"theme.css": "private"})
    site = Repository(tmp_path / "origin/owner/site.git")
    site.commit({"index.html": "x"})
    with GitServer(tmp_path / "origin", token=TOKEN) as server:
        sha = with_submodule(site, "git@127.0.0.1:owner/theme.git", "theme", theme_sha)
        url = f"{server.url}/owner/site.git"
        export(tmp_path / "mirrors", url, sha, tmp_path / "tree", TOKEN)
    assert (tmp_path / "tree/theme/theme.css").read_text() == "private"


def test_a_submodule_that_cannot_be_had_is_the_users_to_mend(tmp_path: Path) -> None:
    site = Repository(tmp_path / "origin/owner/site.git")
    site.commit({"index.html": "x"})
    sha = with_submodule(site, "../none.git", "theme", "1" * 40)
    with pytest.raises(UserError, match="theme") as raised:
        export(tmp_path / "mirrors", str(site.path), sha, tmp_path / "tree")
    assert raised.value.code == "submodule-unavailable"


def test_a_submodules_server_that_is_away_is_no_outage_of_all_builds(tmp_path: Path) -> None:
    site = Repository(tmp_path / "origin/owner/site.git")
    site.commit({"index.html": "x"})
    sha = with_submodule(site, "https://nobody.invalid/owner/theme.git", "theme", "1" * 40)
    with pytest.raises(SystemFault, match="theme") as raised:
        export(tmp_path / "mirrors", str(site.path), sha, tmp_path / "tree")
    assert raised.value.code == "submodule-unreachable"


def test_a_submodule_without_a_url_is_the_users_to_mend(tmp_path: Path) -> None:
    site = Repository(tmp_path / "origin/owner/site.git")
    site.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},theme")
    site.git("commit", "--quiet", "--message", "x")
    with pytest.raises(UserError, match="has no URL") as raised:
        export(
            tmp_path / "mirrors", str(site.path), site.git("rev-parse", "HEAD"), tmp_path / "tree"
        )
    assert raised.value.code == "submodule-unavailable"


def test_a_repository_that_contains_itself_ends(tmp_path: Path) -> None:
    site = Repository(tmp_path / "origin/owner/site.git")
    sha = site.commit({"index.html": "x"})
    for _ in range(8):
        sha = with_submodule(site, "../site.git", "again", sha)
        (site.path / ".gitmodules").unlink()
    with pytest.raises(UserError) as raised:
        export(tmp_path / "mirrors", str(site.path), sha, tmp_path / "tree")
    assert raised.value.code == "submodule-limit"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/other/theme.git", "https://github.com/other/theme.git"),
        ("../theme.git", "https://github.com/owner/theme.git"),
        ("../../other/theme", "https://github.com/other/theme"),
        ("git@github.com:other/theme.git", "https://github.com/other/theme.git"),
        ("ssh://git@github.com/other/theme.git", "https://github.com/other/theme.git"),
        ("ssh://git@github.com:22/other/theme.git", "https://github.com/other/theme.git"),
        ("git://github.com/other/theme.git", "https://github.com/other/theme.git"),
    ],
)
def test_the_usual_addresses_are_followed(url: str, expected: str) -> None:
    assert allowed_url(url, PARENT, "theme") == expected


@pytest.mark.parametrize(
    "url",
    [
        "/etc",
        "file:///etc",
        "http://elsewhere.example/theme.git",
        "ext::sh -c whoami",
        "https://127.0.0.1/theme.git",
        "https://169.254.169.254/theme.git",
        "https://[::1]/theme.git",
        "https://user:password@example.com/theme.git",
        "--upload-pack=touch x",
        "",
    ],
)
def test_nothing_else_is_followed(url: str) -> None:
    with pytest.raises(UserError) as raised:
        allowed_url(url, PARENT, "theme")
    assert raised.value.code == "submodule-not-allowed"


def test_a_repository_of_this_machine_reaches_its_neighbours_alone(tmp_path: Path) -> None:
    parent = str(tmp_path / "repositories/site.git")
    assert allowed_url("../theme.git", parent, "x") == str(tmp_path / "repositories/theme.git")
    for url in ("/etc", "../../elsewhere.git", f"{tmp_path}/repositories-2/x.git"):
        with pytest.raises(UserError):
            allowed_url(url, parent, "x")


def test_a_submodule_behind_a_link_out_of_the_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/out").symlink_to("/etc")
    with pytest.raises(UserError):
        inside(tmp_path / "tree", "out/theme")
