"""The dashboard's first page, where there are more projects than fit on it."""

from __future__ import annotations

import re

import pytest

from bot.models.database import Database
from bot.models.projects import connect_project
from bot.models.tokens import Scope
from tests.dashboard.conftest import Desk

_NAMES = [f"octo/site-{number:03}" for number in range(60)]


@pytest.fixture
def many(desk: Desk, database: Database) -> Desk:
    with database.write():
        for name in [*_NAMES, "octo/a_b%c", "other/Docs"]:
            connect_project(name, production_branch="main", private=False, installation_id=None)
    return desk


def names(page: str) -> list[str]:
    return re.findall(r'<h2><a href="/projects/\d+">([^<]+)</a>', page)


def test_all_projects_are_found_page_by_page(many: Desk) -> None:
    many.sign_in()
    found: list[str] = []
    path: str | None = "/"
    while path:
        text = many.get(path).text
        found += names(text)
        more = re.search(r'<a href="([^"]+)">More projects', text)
        path = more[1].replace("&amp;", "&") if more else None
    assert found == sorted(["octo/a_b%c", *_NAMES, "other/Docs"])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("docs", ["other/Docs"]),
        ("site-01", _NAMES[10:20]),
        ("a_b", ["octo/a_b%c"]),
        ("_", ["octo/a_b%c"]),
        ("%25c", ["octo/a_b%c"]),
        ("%5C", []),
        ("nothing", []),
    ],
)
def test_projects_are_found_by_a_part_of_their_name(
    many: Desk, part: str, expected: list[str]
) -> None:
    many.sign_in()
    answer = many.get(f"/?q={part}")
    assert answer.status_code == 200
    assert names(answer.text) == expected
    assert ("No project has" in answer.text) == (not expected)


def test_whoever_may_see_one_project_finds_no_other(many: Desk) -> None:
    many.sign_in(Scope.READ, project_id=7)
    assert names(many.get("/").text) == [_NAMES[6]]
    assert names(many.get("/?q=docs").text) == []
