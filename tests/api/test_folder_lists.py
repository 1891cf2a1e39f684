"""What stays out of a folder's deployment because a list says so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bot.api.folder import scan
from tests.programs import require_program


def names(folder: Path) -> set[str]:
    return {name for name, _ in scan(folder)}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


LISTS = [
    {".gitignore": "*.log\nbuild/\n!keep.log\n"},
    {".gitignore": "/top.txt\n", "sub/.gitignore": "!top.txt\nx.log\n"},
    {".gitignore": "*.txt\n", "sub/.gitignore": "!*.txt\n"},
    {".gitignore": "sub/*\n!sub/a.txt\n"},
    {".gitignore": "# nothing\n\n"},
    {"sub/.gitignore": "*\n"},
    {".gitignore": "**/build\n"},
]


@pytest.mark.parametrize("lists", LISTS)
def test_gits_lists_mean_what_they_mean_to_git(tmp_path: Path, lists: dict[str, str]) -> None:
    require_program("git")
    paths = "top.txt a.log keep.log build/x.txt sub/a.txt sub/top.txt sub/x.log sub/build/y.txt"
    files = dict.fromkeys(paths.split(), "")
    write(tmp_path, files | lists)
    subprocess.run(("git", "init", "-q"), cwd=tmp_path, check=True)
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--others", "--exclude-standard"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert names(tmp_path) == {os.fsdecode(n) for n in listed.stdout.split(b"\0") if n}


def test_the_own_list_decides_instead_of_gits(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "dist\n", "dist/a.js": "", "drafts/b.md": ""})
    write(tmp_path, {"dist/.gitignore": "*\n", ".deploystackignore": "drafts\n.*ignore\n"})
    assert names(tmp_path) == {"dist/a.js"}


def test_lists_above_the_folder_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "dist\n", "dist/index.html": ""})
    assert names(tmp_path / "dist") == {"index.html"}


def test_secrets_of_one_machine_stay_there(tmp_path: Path) -> None:
    files = (".env", ".env.local", ".env.production.local", ".env.production", "a.local")
    write(tmp_path, dict.fromkeys(files, ""))
    assert names(tmp_path) == {".env", ".env.production", "a.local"}
