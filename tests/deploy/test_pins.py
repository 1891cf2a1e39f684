"""What is installed is pinned by version and by digest, all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_ASKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", re.MULTILINE)
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?((?:.*\\\n)*.*)", re.MULTILINE)


def _pins(text: str) -> dict[str, str]:
    return {name.lower().replace("_", "-"): version for name, version in _ASKED.findall(text)}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_the_installed_list_is_what_was_asked_for(name: str) -> None:
    asked = _pins((_ROOT / f"{name}.in").read_text())
    installed = _pins((_ROOT / f"{name}.txt").read_text())

    assert asked
    assert {package: installed.get(package) for package in asked} == asked, "run make lock"


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_package_has_a_version_and_digests(name: str) -> None:
    text = (_ROOT / f"{name}.txt").read_text()
    bare = [
        package
        for package, rest in _REQUIREMENT.findall(text)
        if not rest.startswith("==") or "--hash=sha256:" not in rest
    ]

    assert len(_pins(text)) > 40
    assert not bare


def test_tests_run_on_what_users_run_on() -> None:
    users = _pins((_ROOT / "requirements.txt").read_text())
    tests = _pins((_ROOT / "requirements-dev.txt").read_text())

    assert {package: tests.get(package) for package in users} == users


def test_nothing_is_asked_for_without_a_version() -> None:
    for name in ("requirements.in", "requirements-dev.in"):
        for line in (_ROOT / name).read_text().splitlines():
            wanted = line.partition("#")[0].strip()
            assert not wanted or wanted.startswith("-r ") or "==" in wanted, f"{name}: {line}"
