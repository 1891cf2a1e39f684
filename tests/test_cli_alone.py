"""The command line by itself, as `pip install .` brings it, and as the GitHub Action runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

REMOTE = ("deploy", "list", "init", "logs -f x --project y", "projects list", "connect a/b",
          f"verify http://127.0.0.1:9/{'a' * 40}/")  # fmt: skip


def closure(names: list[str]) -> set[str]:
    """Distributions with whatever they require here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        requirement = Requirement(waiting.pop())
        marker = requirement.marker
        if requirement.name in found or (marker is not None and not marker.evaluate({"extra": ""})):
            continue
        found.add(requirement.name)
        waiting += metadata.requires(requirement.name) or []
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the declared libraries, and nothing of the bot's others."""
    folder = tmp_path_factory.mktemp("library")
    for name in closure(DECLARED):
        tops = {file.parts[0] for file in metadata.files(name) or () if file.parts[0] != ".."}
        for top in tops - {"__pycache__"}:
            place = Path(str(metadata.distribution(name).locate_file(top)))
            if not (folder / top).exists():
                (folder / top).symlink_to(place)
    (folder / "bot").symlink_to(ROOT / "bot")
    return folder


def run(library: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = f"import sys; sys.path.insert(0, {str(library)!r}); from bot.cli import main; main()"
    return subprocess.run(
        (sys.executable, "-I", "-S", "-c", script, *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_declared_is_what_is_pinned() -> None:
    pinned = (ROOT / "requirements.txt").read_text()
    pins = re.findall(r"^([a-z0-9-]+==\S+) ", pinned, re.MULTILINE)
    assert set(DECLARED) <= set(pins)


def test_it_needs_no_library_of_the_bots_but_those_that_it_declares(
    library: Path, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<h1>")
    (tmp_path / ".gitignore").write_text("x\n")
    checked = run(library, "check", "--json", folder=tmp_path)
    assert json.loads(checked.stdout)["valid"] is True, checked.stderr
    unreachable = ("--server", "http://127.0.0.1:9")
    for command in REMOTE:
        ended = run(library, *command.split(), *unreachable, folder=tmp_path)
        assert "[unreachable]" in ended.stderr, ended.stderr
    assert run(library, "completion", "bash", folder=tmp_path).returncode == 0


def test_what_needs_the_bot_itself_says_so(library: Path, tmp_path: Path) -> None:
    for command in ("start", "doctor", "settings", "migrate", "demo"):
        ended = run(library, command, folder=tmp_path)
        assert "[bot-not-installed]" in ended.stderr, ended.stderr
        assert "make setup" in ended.stderr
        assert ended.returncode == 1


def test_what_is_installed_has_every_file_of_the_bots() -> None:
    """pip leaves out what is no Python unless it is named."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {
        file
        for package, patterns in configuration["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for file in (ROOT / package.replace(".", "/")).glob(pattern)
        if file.is_file()
    }
    there = {
        file
        for file in (ROOT / "bot").rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"}
    }
    assert {str(file.relative_to(ROOT)) for file in there - named} == set()
