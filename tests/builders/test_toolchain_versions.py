"""Which versions are meant by what projects write."""

from __future__ import annotations

import pytest

from bot.builders.node_versions import as_range, majors, newest, same_major, satisfies
from bot.builders.package_managers import package_of

OFFERED = ["20.13.0", "20.18.0", "22.20.0", "24.19.0"]


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("", "24.19.0"),
        ("*", "24.19.0"),
        ("node", "24.19.0"),
        ("latest", "24.19.0"),
        ("lts/*", "24.19.0"),
        ("lts/jod", "22.20.0"),
        ("LTS/Iron", "20.18.0"),
        ("20", "20.18.0"),
        ("v20", "20.18.0"),
        ("20.x", "20.18.0"),
        ("20.13.0", "20.13.0"),
        ("v20.13.0", "20.13.0"),
        (">=18", "24.19.0"),
        (">= 18.17.0 < 23", "22.20.0"),
        ("^20 || ^22", "22.20.0"),
        ("~20.13", "20.13.0"),
        ("18 - 20", "20.18.0"),
        ("16", None),
        ("^18.17.0", None),
        ("21.0.0", None),
    ],
)
def test_the_newest_version_in_the_range_is_taken(asked: str, version: str | None) -> None:
    wanted = as_range(asked)
    assert wanted is not None
    assert newest(OFFERED, wanted) == version


@pytest.mark.parametrize("asked", ["whatever you like", "lts/unknown", "20..1", "$(id)"])
def test_what_is_no_version_is_known_as_such(asked: str) -> None:
    assert as_range(asked) is None


@pytest.mark.parametrize(
    ("wanted", "major"),
    [
        *(("20.11.1", "20"), ("20.11", "20"), ("v18.2.0", "18"), ("=16.0.0", "16")),
        *(("20", None), (">=20.11.1", None), ("^20.1.0", None), ("20.11.1 || 22", None)),
    ],
)
def test_only_an_exact_version_may_give_way_to_its_major(wanted: str, major: str | None) -> None:
    assert same_major(wanted) == major


def test_a_version_is_in_a_range_or_not() -> None:
    assert satisfies("20.20.2", ">=18")
    assert not satisfies("20.20.2", "22")


def test_majors_are_listed_once_and_in_order() -> None:
    assert majors([*OFFERED, "9.1.0"]) == "9, 20, 22, 24"


@pytest.mark.parametrize(
    ("name", "version", "package"),
    [
        ("pnpm", "9.12.0", "pnpm"),
        ("npm", "10", "npm"),
        ("yarn", "1", "yarn"),
        ("yarn", "1.22.22", "yarn"),
        ("yarn", "^1.22.0", "yarn"),
        ("yarn", "4", "@yarnpkg/cli-dist"),
        ("yarn", "4.5.0", "@yarnpkg/cli-dist"),
        ("yarn", "10.0.0", "@yarnpkg/cli-dist"),
    ],
)
def test_each_package_manager_comes_from_its_package(name: str, version: str, package: str) -> None:
    assert package_of(name, version) == package
