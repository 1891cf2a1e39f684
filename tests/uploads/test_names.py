from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UserError
from bot.uploads.names import Register, are_plain, is_rubbish, safe_path

SAFE = [
    ("index.html", "index.html"),
    ("./index.html", "index.html"),
    ("a//b/./c", "a/b/c"),
    ("assets\\app.js", "assets/app.js"),
    ("folder/", "folder"),
    ("./", ""),
    ("a..b/..c", "a..b/..c"),
    ("grün/日本.html", "grün/日本.html"),
]
UNSAFE = [
    "../evil", "a/../../evil", "a/..", "..", "/etc/passwd", "//host/share", "\\\\host\\share",
    "..\\evil", "a\\..\\..\\evil", "\\evil", "C:\\evil", "c:evil", "C:/evil",
    "a\x00b", "a\nb", "a\x7fb",
]  # fmt: skip


@pytest.mark.parametrize(("name", "path"), SAFE)
def test_a_harmless_name_becomes_a_relative_path(name: str, path: str) -> None:
    assert safe_path(name) == path


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_could_lead_out_of_the_tree_is_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        safe_path(name)
    assert caught.value.code == "archive-unsafe-path"


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "/".join(["long"] * 300)])
def test_a_name_that_no_file_system_takes_is_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        safe_path(name)
    assert caught.value.code == "archive-name-too-long"


@pytest.mark.parametrize(
    ("path", "dropped"),
    [
        ("__MACOSX/._index.html", True),
        ("site/.DS_Store", True),
        ("a/._b", True),
        (".git/config", True),
        ("Thumbs.db", True),
        (".gitignore", False),
        (".well-known/acme", False),
        ("DS_Store", False),
    ],
)
def test_what_systems_leave_behind_is_rubbish(path: str, dropped: bool) -> None:
    assert is_rubbish(path) is dropped


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["a", "a"], "archive-duplicate-name"),
        (["a", "a/b"], "archive-duplicate-name"),
        (["a/b", "a"], "archive-duplicate-name"),
        (["Index.html", "index.html"], "archive-case-clash"),
        (["Assets/a", "assets/b"], "archive-case-clash"),
        (["caf\u00e9", "cafe\u0301"], "archive-case-clash"),
        (["stra\u00dfe", "STRASSE"], "archive-case-clash"),
    ],
)
def test_names_that_some_system_cannot_keep_apart_are_refused(paths: list[str], code: str) -> None:
    register = Register()
    for path in paths[:-1]:
        register.add_file(path)
    with pytest.raises(UserError) as caught:
        register.add_file(paths[-1])
    assert caught.value.code == code


PARTS = st.sampled_from(["a", "A", "b", "index.html", "Index.html", "..", "é", "", ".x", "x" * 70])


@given(st.sets(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=6))
def test_what_is_plain_at_a_glance_is_what_a_closer_look_would_take(paths: set[str]) -> None:
    def look_closely() -> bool:
        register = Register()
        try:
            for path in paths:
                register.add_file(path)
                if safe_path(path) != path:
                    return False
        except UserError:
            return False
        return True

    assert look_closely() or not are_plain(paths)


@pytest.mark.parametrize(
    ("paths", "plain"),
    [
        (["index.html", "assets/app-1.js", "assets/fonts/a_b.woff2"], True),
        (["A/x/1", "a/y/2"], False),
        (["a", "a/b"], False),
        (["a\nb"], False),
        ([], False),
    ],
)
def test_most_lists_of_names_are_plain_at_a_glance(paths: list[str], plain: bool) -> None:
    assert are_plain(paths) is plain
