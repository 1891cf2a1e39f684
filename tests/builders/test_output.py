"""The output check: an index page, nothing that escapes, and the limits."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bot.builders.git_tree import Blob, GitTree
from bot.builders.output import (
    OutputLimits,
    check_folder,
    check_tree,
    choose_output,
    is_hidden,
)
from bot.errors import UserError
from tests.builders.conftest import ListLog

LIMITS = OutputLimits(files=100, file_size=1000, total_size=10_000)


def write(folder: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def paths(folder: Path, log: ListLog, limits: OutputLimits = LIMITS) -> list[str]:
    return sorted(path for path, _ in check_folder(folder, limits, log))


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("index.html", False),
        ("a/b.html", False),
        (".well-known/security.txt", False),
        ("a/.well-known/x", True),
        (".well-known/.git/config", True),
        (".env", True),
        ("a/.env.production", True),
        (".git/config", True),
        ("node_modules/x/index.js", True),
        ("assets/node_modules/x.js", False),
        ("a..b/c.html", False),
    ],
)
def test_what_is_never_published(path: str, hidden: bool) -> None:
    assert is_hidden(path) is hidden


def test_the_first_folder_with_an_index_page_is_the_output(tmp_path: Path) -> None:
    write(tmp_path, "dist/other.html", "build/index.html", "out/index.html")
    assert choose_output(tmp_path, ("dist", "build", "out")) == tmp_path / "build"


def test_no_output_folder_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"looked for dist, build\.") as raised:
        choose_output(tmp_path, ("dist", "build"))
    assert raised.value.code == "output-missing"


def test_no_index_page_says_what_there_is_instead(tmp_path: Path) -> None:
    write(tmp_path, "dist/app.js", "dist/style.css")
    with pytest.raises(UserError, match=r"dist holds app\.js, style\.css") as raised:
        choose_output(tmp_path, ("dist", "build"))
    assert raised.value.code == "no-index-page"


def test_an_output_folder_that_is_a_link_out_of_the_tree_is_none(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/index.html")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/dist").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError):
        choose_output(tmp_path / "tree", ("dist", "../elsewhere"))


def test_files_of_all_folders_are_found(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "index.html", "a/b/c.js", ".well-known/x", ".env", "node_modules/x.js")
    assert paths(tmp_path, log) == [".well-known/x", "a/b/c.js", "index.html"]
    assert log.lines == []


def test_links_within_the_folder_are_followed(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "index.html", "v2/page.html")
    (tmp_path / "latest").symlink_to("v2")
    (tmp_path / "home.html").symlink_to("index.html")
    found = dict(check_folder(tmp_path, LIMITS, log))
    assert sorted(found) == ["home.html", "index.html", "latest/page.html", "v2/page.html"]
    assert not found["latest/page.html"].is_symlink()


def test_a_link_that_was_made_with_the_path_inside_the_sandbox_is_followed(
    tmp_path: Path, log: ListLog
) -> None:
    work = tmp_path / "work"
    write(work / "tree" / "dist", "index.html", "a.js")
    (work / "tree" / "secret").write_text("out of the output")
    for name, target in (("b.js", "tree/dist/a.js"), ("c", "tree/secret"), ("d", "../../etc")):
        (work / "tree" / "dist" / name).symlink_to(f"/workspace/{target}")
    found = check_folder(work / "tree" / "dist", LIMITS, log, work)
    assert sorted(path for path, _ in found) == ["a.js", "b.js", "index.html"]
    assert "Left out c: the link leads out of the folder" in log.text
    assert "Left out d: the link leads out of the folder" in log.text


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../secret.txt", "/etc", "..", "../../../../etc/passwd", "a/../../secret.txt"],
)
def test_a_link_that_leads_out_is_left_out_and_named(
    tmp_path: Path, log: ListLog, target: str
) -> None:
    write(tmp_path, "secret.txt", "site/index.html", "site/a/x.html")
    (tmp_path / "site/link").symlink_to(target)
    assert paths(tmp_path / "site", log) == ["a/x.html", "index.html"]
    assert log.lines == ["Left out link: the link leads out of the folder"]


def test_a_link_to_a_sibling_that_only_begins_alike_leads_out(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "site/index.html", "site-secret/x.txt")
    (tmp_path / "site/link").symlink_to(tmp_path / "site-secret")
    assert paths(tmp_path / "site", log) == ["index.html"]


def test_a_link_to_what_is_never_published_leads_out(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "index.html", ".env")
    (tmp_path / "env.txt").symlink_to(".env")
    assert paths(tmp_path, log) == ["index.html"]


def test_links_that_go_round_in_circles_end(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "index.html", "a/x.html")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "a/self").symlink_to("self")
    (tmp_path / "nowhere").symlink_to("missing")
    assert paths(tmp_path, log) == ["a/x.html", "index.html"]
    assert len(log.lines) == 3


def test_devices_sockets_and_pipes_are_left_out(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "index.html")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("pipe")
    try:
        os.mknod(tmp_path / "device", 0o20666, os.makedev(1, 3))
    except PermissionError:
        (tmp_path / "device").symlink_to("pipe")
    assert paths(tmp_path, log) == ["index.html"]
    reason = "it is a device, a socket or a pipe"
    assert sorted(log.lines) == [
        f"Left out {name}: {reason}" for name in ("device", "link", "pipe", "socket")
    ]


def test_names_that_are_not_utf8_are_left_out(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "index.html", "ü.html")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.html"))).write_bytes(b"x")
    assert paths(tmp_path, log) == ["index.html", "ü.html"]
    assert log.lines == ["Left out \\udcff.html: its name is not UTF-8"]


@pytest.mark.parametrize(
    ("limits", "code", "named"),
    [
        (OutputLimits(files=2, file_size=1000, total_size=10_000), "too-many-files", "c.html"),
        (OutputLimits(files=9, file_size=4, total_size=10_000), "file-too-large", "a.html"),
        (OutputLimits(files=9, file_size=1000, total_size=12), "deployment-too-large", "c.html"),
    ],
)
def test_each_limit_is_the_users_to_mend_and_names_the_file(
    tmp_path: Path, log: ListLog, limits: OutputLimits, code: str, named: str
) -> None:
    write(tmp_path, "a.html", "b.html", "c.html", content=b"12345")
    with pytest.raises(UserError, match=named) as raised:
        paths(tmp_path, log, limits)
    assert raised.value.code == code
    tree = GitTree({f"{n}.html": Blob(n * 40, 5) for n in "abc"}, reader=None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=named) as raised:
        check_tree(tree, ".", limits, log)
    assert raised.value.code == code


def test_many_left_out_files_do_not_fill_the_log(tmp_path: Path, log: ListLog) -> None:
    write(tmp_path, "index.html")
    for number in range(90):
        (tmp_path / f"link{number}").symlink_to("/etc/passwd")
    paths(tmp_path, log)
    assert len(log.lines) == 21
    assert log.lines[-1] == "Left out more; they are not listed."


class Links(dict[str, str]):
    """Stands in for the reader of a `GitTree`: each blob's id is its content."""

    def read(self, object_id: str) -> bytes:
        return object_id.encode()


def tree_of(files: list[str], links: dict[str, str] | None = None) -> GitTree:
    return GitTree(
        {path: Blob(path, 1) for path in files},
        Links(),  # type: ignore[arg-type]
        links={path: Blob(target, 1) for path, target in (links or {}).items()},
    )


@pytest.mark.parametrize(
    ("files", "links", "folder", "expected"),
    [
        (["index.html", ".env", "a/b.css", "node_modules/x.js"], {}, ".",
         {"index.html": "index.html", "a/b.css": "a/b.css"}),
        (["public/index.html", "src/x.js", "publicity.html"], {}, "public",
         {"index.html": "public/index.html"}),
        (["index.html"], {"home.html": "index.html"}, ".",
         {"index.html": "index.html", "home.html": "index.html"}),
        (["v2/a.html", "v2/b/c.html"], {"latest": "v2"}, ".",
         {"v2/a.html": "v2/a.html", "v2/b/c.html": "v2/b/c.html",
          "latest/a.html": "v2/a.html", "latest/b/c.html": "v2/b/c.html"}),
        (["a.html"], {"one": "two", "two": "a.html"}, ".",
         {"a.html": "a.html", "one": "a.html", "two": "a.html"}),
        (["a.html"], {"x": "/etc/passwd", "y": "../a", "z": "z", "n": "none"}, ".",
         {"a.html": "a.html"}),
        (["public/index.html", "secret.txt"], {"public/s": "../secret.txt"}, "public",
         {"index.html": "public/index.html"}),
        (["a/x.html", ".env"], {"a/up": "..", "env": ".env"}, ".", {"a/x.html": "a/x.html"}),
    ],
)  # fmt: skip
def test_a_commits_folder_is_checked_alike(
    files: list[str],
    links: dict[str, str],
    folder: str,
    expected: dict[str, str],
    log: ListLog,
) -> None:
    found = check_tree(tree_of(files, links), folder, LIMITS, log)
    assert {path: blob.object_id for path, blob in found.items()} == expected
