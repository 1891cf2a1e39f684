"""Which Python a project gets, its environment, and how uv reaches the operator's indexes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.builders.dependency_key import dependencies_of
from bot.builders.detect import plan
from bot.builders.python import Python, Pythons, as_specifiers, provide_uv, pythons_of
from bot.builders.registries import registries
from bot.builders.toolchain import Toolchain
from bot.builders.toolchain_store import ToolchainStore
from bot.builders.tree import FolderTree
from bot.errors import UserError
from tests.builders.conftest import ListLog, MemoryTree

THERE = tuple(Python(version=v, program=Path("/x", v)) for v in ("3.11.2", "3.13.0", "3.10.4"))


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pythons:
    monkeypatch.setattr("bot.builders.python.pythons_of", lambda _environ: THERE)
    return Pythons(ToolchainStore(tmp_path, {}))


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("", "3.11.2"),
        ("3", "3.11.2"),
        ("3.13", "3.13.0"),
        ("3.10.4", "3.10.4"),
        ("3.10.9", "3.10.4"),
        (">=3.12", "3.13.0"),
        ("<3.11", "3.10.4"),
        ("cpython-3.13", "3.13.0"),
        ("pypy3.10", "3.11.2"),
    ],
)
def test_a_project_gets_the_python_that_it_asks_for(
    pythons: Pythons, log: ListLog, asked: str, version: str
) -> None:
    assert pythons.choose(asked, log).version == version
    if asked in {"3.10.9", "pypy3.10"}:
        assert asked in log.text


@pytest.mark.parametrize("asked", ["3.9", "3.12.1", ">=4"])
def test_a_python_that_is_not_there_is_refused_naming_those_that_are(
    pythons: Pythons, log: ListLog, asked: str
) -> None:
    with pytest.raises(UserError) as raised:
        pythons.choose(asked, log)
    assert raised.value.code == "python-version-unavailable"
    assert "There is: 3.11.2, 3.13.0, 3.10.4" in raised.value.hint


def test_the_machines_own_pythons_are_found(tmp_path: Path) -> None:
    found = pythons_of({"PATH": "/usr/bin"})
    assert found
    assert all(python.program.exists() for python in found)
    assert all(as_specifiers(python.version) is not None for python in found)


def test_uv_is_brought_to_where_builds_can_see_it(tmp_path: Path) -> None:
    store = ToolchainStore(tmp_path / "toolchains", {})
    assert (provide_uv(store) / "bin" / "uv").stat().st_mode & 0o111
    assert provide_uv(store) == provide_uv(store)


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({".python-version": "# ours\n3.12\n"}, "3.12"),
        ({"runtime.txt": "python-3.11.4\n"}, "3.11.4"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.10"\n'}, ">=3.10"),
        ({"pyproject.toml": "not toml ["}, ""),
        ({}, ""),
    ],
)
def test_the_version_is_read_from_where_projects_write_it(
    files: dict[str, str], asked: str
) -> None:
    assert plan(MemoryTree({"mkdocs.yml": "", **files}), "/x/").python == asked


def _key(root: Path, files: dict[str, str], version: str = "3.11.2") -> str:
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)
    found = plan(FolderTree(root), "/x/")
    return dependencies_of(root, found, Toolchain(version=version, manager="uv")).key


def test_an_environment_is_kept_by_its_list_and_its_python(tmp_path: Path) -> None:
    files = {"mkdocs.yml": "", "requirements.txt": "-r more.txt\nmkdocs\n", "more.txt": "a==1\n"}
    key = _key(tmp_path / "a", files)
    assert key
    assert key == _key(tmp_path / "b", {**files, "mkdocs.yml": "site_name: x"})
    assert key != _key(tmp_path / "c", files, version="3.12.1")
    assert key != _key(tmp_path / "d", {**files, "more.txt": "a==2\n"})


@pytest.mark.parametrize(
    "line", ["-e .", "./package", ".", "x @ file:///x", "-r ../outside.txt", "-r missing.txt",
             "x @ git+https://host/x"],
)  # fmt: skip
def test_what_is_installed_from_sources_is_not_kept(tmp_path: Path, line: str) -> None:
    (tmp_path / "outside.txt").write_text("a\n")
    assert not _key(tmp_path / "a", {"mkdocs.yml": "", "requirements.txt": f"{line}\n"})


def test_uv_reaches_the_indexes_that_pip_is_configured_with(tmp_path: Path) -> None:
    index = tmp_path / "index"
    (index / "simple" / "a").mkdir(parents=True)
    (index / "files").mkdir()
    (index / "simple" / "a" / "index.html").write_text('<a href="../../files/a-1.whl#sha256=0">a')
    (index / "constraints.txt").write_text("a<2\n")
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror.example/simple\n"
        f"extra-index-url = file://{index}/simple\nconstraint = {index}/constraints.txt\n"
    )
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    reach = registries(tmp_path / "kept", trusted=False, environ=environ)
    assert reach.environment["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert reach.environment["UV_INDEX"] == f"file://{index}/simple"
    assert reach.environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert reach.environment["UV_CONSTRAINT"] == f"{index}/constraints.txt"
    for shown in ("simple", "files", "constraints.txt"):
        assert index / shown in reach.readable
    assert index not in reach.readable


def test_a_setting_of_the_operators_for_uv_itself_counts_more(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://a.example/simple",
               "UV_DEFAULT_INDEX": "https://b.example/simple"}  # fmt: skip
    reach = registries(tmp_path / "kept", trusted=False, environ=environ)
    assert reach.environment["UV_DEFAULT_INDEX"] == "https://b.example/simple"


def test_an_index_that_asks_for_a_password_is_not_told_to_uv(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PIP_EXTRA_INDEX_URL": "https://u:p@a.example/simple"}
    reach = registries(tmp_path / "kept", trusted=False, environ=environ)
    assert "p@" not in "".join(reach.environment.values())
