"""What is published about deploystack.toml agrees with what it may say; and `check`."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec import Struct, convert, structs

from bot.builders.configuration import RESERVED, parse
from bot.builders.configuration_keys import File, schema
from bot.cli import main

DOCUMENTS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCUMENTS / "configuration.md").read_text()


def keys_of(table: type[Struct], prefix: str = "") -> set[str]:
    found = set()
    for field in structs.fields(table):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            found |= keys_of(field.type, f"{prefix}{field.name}.")
        elif field.name == "context":
            names = ("production", "preview", "<branches>")
            found |= {f"{prefix}context.{name}.environment" for name in names}
        elif field.name == "projects":
            found |= {f"{prefix}projects.name"}
        else:
            found.add(f"{prefix}{field.name}")
    return found


def check(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["check", *options, str(folder)])


def test_the_schema_for_editors_is_up_to_date() -> None:
    published = (DOCUMENTS / "deploystack.schema.json").read_text()
    assert published == schema(), "write what bot.builders.configuration_keys.schema() answers"


def test_every_key_is_documented_and_no_other() -> None:
    assert set(re.findall(r"^\| `([\w.<>]+)`", DOCUMENT, re.MULTILINE)) == keys_of(File)


def test_every_variable_that_is_the_hosts_own_is_documented() -> None:
    section = DOCUMENT.partition("## Environment")[2].partition("##")[0]
    assert set(re.findall(r"`([A-Z_]{4,})`", section)) == RESERVED


def test_the_examples_in_the_document_are_valid() -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        assert parse(example).file == convert(tomllib.loads(example), File)


def test_check_prints_the_plan_without_building(tmp_path: Path) -> None:
    (tmp_path / "deploystack.toml").write_text(
        "root = 'web'\n[build]\ncommand = 'touch made; false'\noutput = 'made'\nnode = '22'\n"
        "[serve]\nspa = true\n"
        "[context.production.environment]\nA = 'p'\n[context.preview.environment]\nA = 'q'\n"
    )
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "make.py").touch()
    answer = check(tmp_path)
    assert answer.exit_code == 0
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in answer.output.splitlines()[1:])
    assert answer.output.startswith("deploystack.toml is valid.\n")
    assert lines["Root"] == "web"
    assert lines["Build"] == "sh -c 'touch made; false'"
    assert lines["Output"] == "made"
    assert lines["Node"] == "22"
    assert lines["Unknown paths"] == "the index page"
    assert lines["Variable (production)"] == "A=p"
    assert lines["Decided by the file"] == (
        "root, build.command, build.output, build.node, serve.spa, context.production.environment"
    )
    assert not (tmp_path / "web" / "made").exists()
    assert "A=q" in check(tmp_path, "--context", "preview").output


def test_check_shows_everything_that_the_file_decides(tmp_path: Path) -> None:
    (tmp_path / "deploystack.toml").write_text(
        "[build]\ncommand = 'node make.mjs'\noutput = 'made'\nnetwork = 'install-only'\n"
        "reuse = false\n[limits]\ntime = 90\nmemory = '1G'\nprocesses = 64\noutput = '200M'\n"
        "[ignore]\npaths = ['docs/', '*.md']\ncommand = 'test -f quiet'\n"
        "[context.production.environment]\nA = 'p'\n[context.preview.environment]\nA = 'q'\n"
        "[context.'release/*'.environment]\nA = 'r'\n"
    )
    (tmp_path / "make.mjs").touch()
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "package-lock.json").write_text("{}")
    answer = check(tmp_path, "--context", "preview", "--branch", "release/2")
    assert answer.exit_code == 0, answer.output
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in answer.output.splitlines()[1:])
    assert lines["Network"] == "the install has one, later commands have none"
    assert lines["Reuse"] == "never: every commit is built"
    assert lines["Limits"] == "time 90 s, memory 1024 MB, processes 64, output 200 MB"
    assert lines["Ignored files"] == "docs/, *.md"
    assert lines["Ignore command"] == "test -f quiet"
    assert lines["Lockfile"] == "package-lock.json"
    assert lines["Context"] == "preview, branch release/2: preview, release/* count"
    assert lines["Other contexts"] == "production (--context, --branch)"
    assert lines["Variable (preview)"] == "A=r"
    for key in ("network", "reuse"):
        assert f"build.{key}" in lines["Decided by the file"]
    for key in ("limits.time", "ignore.paths", "ignore.command", "context.release/*.environment"):
        assert key in lines["Decided by the file"]
    assert "an earlier output serves again" in check(_site(tmp_path)).output


def _site(folder: Path) -> Path:
    (folder / "deploystack.toml").write_text("[build]\ncommand = 'node make.mjs'\n")
    return folder


def test_check_names_the_mistake_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "deploystack.toml").write_text("[build]\n\n\n\n\n\noutput = 7\n")
    answer = check(tmp_path)
    assert answer.exit_code == 1
    assert "build.output: expected text, got a number (line 7)" in answer.output
    assert "[invalid-configuration]" in answer.output
    assert "Traceback" not in answer.output


def test_check_says_so_where_nothing_can_be_built(tmp_path: Path) -> None:
    answer = check(tmp_path)
    assert answer.exit_code == 1
    assert "[nothing-recognised]" in answer.output


@pytest.mark.parametrize("ignored", [True, False])
def test_check_looks_at_what_a_push_would_bring(tmp_path: Path, ignored: bool) -> None:
    subprocess.run(("git", "init", "--quiet"), cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("/dist\n" if ignored else "")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").touch()
    answer = check(tmp_path)
    assert answer.exit_code == (1 if ignored else 0)
    assert ("file `dist/index.html`" in answer.output) is not ignored


def test_check_prints_the_plan_of_each_project_and_of_its_workspace(tmp_path: Path) -> None:
    (tmp_path / "deploystack.toml").write_text(
        "[[projects]]\nname = 'web'\nroot = 'apps/web'\n"
        "[[projects]]\nname = 'docs'\nroot = 'docs'\nignore.paths = ['**', '!docs/']\n"
    )
    files = {
        "package.json": '{"workspaces": ["apps/*", "packages/*"]}',
        "apps/web/package.json": '{"scripts": {"build": "node b"}, "dependencies": {"ui": "*"}}',
        "packages/ui/package.json": '{"name": "ui", "scripts": {"build": "node b"}}',
        "docs/index.html": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    answer = check(tmp_path)
    assert answer.exit_code == 0, answer.output
    first, web, docs = answer.output.split("\n\n")
    assert first == "deploystack.toml is valid."
    rows = [re.split(r"\s{2,}", line, maxsplit=1) for line in web.splitlines()]
    assert rows[0] == ["Project", "web, the main one"]
    assert ["Workspace", "npm workspace of 2 packages at the repository's root; installing there"
            ] in rows  # fmt: skip
    assert [row for row in rows if row[0].startswith(("Install", "Build"))] == [
        ["Install (in the top folder)", "npm install --no-audit --no-fund"],
        ["Build (in packages/ui)", "npm run build"],
        ["Build", "npm run build"],
    ]
    assert docs.startswith("Project")
    assert "Ignored files                **, !docs/" in docs


def test_check_names_the_project_that_cannot_be_built(tmp_path: Path) -> None:
    (tmp_path / "deploystack.toml").write_text(
        "[[projects]]\nname = 'web'\n[[projects]]\nname = 'docs'\nroot = 'docs'\n"
    )
    (tmp_path / "index.html").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.txt").touch()
    answer = check(tmp_path)
    assert answer.exit_code == 1
    assert "Project docs: There is no index page" in answer.output
