"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bot.cli import main
from bot.errors import UserError
from bot.local import push
from bot.local.demo import _obtain
from bot.settings import Settings


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return CliRunner()


def test_every_command_explains_itself(run: CliRunner) -> None:
    listed = run.invoke(main, ["--help"]).output
    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert name in listed
        assert command is not None
        assert command.help
        assert run.invoke(main, [name, "--help"]).exit_code == 0


def test_settings_are_printed_without_their_secrets(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_very_secret")
    answer = run.invoke(main, ["settings"])
    assert answer.exit_code == 0
    assert "PORT" in answer.output
    assert "ghp_very_secret" not in answer.output


@pytest.mark.parametrize("command", ["settings", "doctor", "migrate"])
def test_passwords_in_addresses_are_not_printed(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/site")
    monkeypatch.setenv("CACHE_URL", "redis://:hunter2@127.0.0.1:9")
    for options in ((), ("--json",)):
        output = run.invoke(main, [command, *options]).output
        assert "127.0.0.1" in output
        assert "hunter2" not in output


def test_a_bad_setting_ends_in_one_line_that_names_it(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "eighty")
    answer = run.invoke(main, ["settings"])
    assert answer.exit_code == 1
    assert "PORT: expected a whole number, got 'eighty' [invalid-setting]" in answer.output
    assert "Traceback" not in answer.output


def test_a_port_in_use_is_said_before_anything_is_started(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        answer = run.invoke(main, ["start"])
    assert answer.exit_code == 1
    assert "[port-in-use]" in answer.output
    assert "PORT=8080 make start" in answer.output


def test_what_is_no_repository_is_said_before_anybody_is_asked(run: CliRunner) -> None:
    answer = run.invoke(main, ["connect", "site"])
    assert answer.exit_code == 1
    assert "[not-a-repository]" in answer.output


def test_stopping_what_does_not_run_says_so(run: CliRunner) -> None:
    assert "No bot runs" in run.invoke(main, ["stop"]).output


def test_what_runs_on_the_machine_itself_answers_in_json(run: CliRunner) -> None:
    assert json.loads(run.invoke(main, ["stop", "--json"]).stdout) == {"stopped": False}
    assert json.loads(run.invoke(main, ["migrate", "--json"]).stdout)["database"]
    token = json.loads(run.invoke(main, ["admin-token", "--json"]).stdout)["token"]
    assert token.startswith("dst_")
    assert json.loads(run.invoke(main, ["completion", "bash", "--json"]).stdout)["script"]


def test_migrate_can_be_run_again_and_again(run: CliRunner) -> None:
    for _ in range(2):
        answer = run.invoke(main, ["migrate"])
        assert answer.exit_code == 0
        assert "is up to date" in answer.output


def test_a_local_push_moves_the_branch_and_tells_where_it_was(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("one")
    with push.commit_folder(folder, "One") as source:
        first = push.push(source, "HEAD", settings, "site", "main")
    (folder / "index.html").write_text("two")
    with push.commit_folder(folder, "Two") as source:
        second = push.push(source, "HEAD", settings, "site", "main")
    assert first.before == push.ZEROS
    assert (second.before, second.message) == (first.after, "Two")
    with push.local_repository(settings, "site") as target:
        assert target.commit("main").hexsha == second.after


def test_a_shallow_clone_of_a_url_can_be_pushed(settings: Settings, tmp_path: Path) -> None:
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    for text in ("one", "two"):
        (upstream / "index.html").write_text(text)
        with push.commit_folder(upstream, text) as repository:
            first, newest = repository.commit("HEAD~0"), repository.commit("HEAD")
            repository.create_tag("v1", force=True)
    assert first.hexsha == newest.hexsha
    url = f"file://{upstream}"
    for ref in ("HEAD", "main", "v1", newest.hexsha):
        work = tmp_path / f"work-{ref[:6]}"
        work.mkdir()
        with _obtain(url, work, ref) as repository:
            pushed = push.push(repository, "HEAD", settings, f"site-{ref[:6]}", "main")
        assert pushed.after == newest.hexsha


def test_a_url_that_cannot_be_fetched_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        _obtain("http://me:hunter2@127.0.0.1:9/none.git", tmp_path, "HEAD")
    assert caught.value.code == "clone-failed"
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_is_no_repository_is_committed_in_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    (folder / "node_modules").mkdir(parents=True)
    (folder / "index.html").write_text("mine")
    (tmp_path / "work").mkdir()
    with _obtain(str(folder), tmp_path / "work", "HEAD") as repository:
        assert [blob.path for blob in repository.commit("HEAD").tree.traverse()] == ["index.html"]
    assert not (folder / ".git").exists()
