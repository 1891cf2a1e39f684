"""`deploystack doctor`: each check where all is well, and where it is not."""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bot.builders.sandbox import select
from bot.cli import main
from bot.errors import SystemFault
from bot.local import doctor
from bot.local.doctor import Finding
from bot.models.database import connect
from bot.queues import open_queue
from bot.settings import Settings
from tests.programs import require_program

MakeSettings = Callable[..., Settings]
Answers = dict[str, tuple[int, str]]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes PATH hold nothing but these programs, each of which prints its text."""

    def only(**printed: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in printed.items():
            (folder / name).write_text(f"#!/bin/sh\necho '{text}'\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return only


@pytest.fixture
def answers() -> Answers:
    """What the server says, by path; anything else is a 404."""
    return {}


@pytest.fixture
def port(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server on this machine, which previews.example.com leads to as well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, "{}"))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: Any) -> None:
            """The test's output is no place for it."""

    monkeypatch.setenv("no_proxy", "*")
    resolve = socket.getaddrinfo

    def here(host: Any, *rest: Any, **options: Any) -> Any:
        assert host in {"127.0.0.1", "previews.example.com"}, "a test asks the outside"
        return resolve("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is(finding: Finding, ok: bool | None, words: str) -> None:
    assert (finding.ok, words in finding.said) == (ok, True), finding
    assert bool(finding.mend) == (ok is not True), "all but success says what to do"


@pytest.mark.parametrize(
    ("version", "ok", "words"),
    [
        ("git version 2.30.0", True, "git version 2.30.0"),
        ("git version 3.0.1 (Apple Git-154)", True, "3.0.1"),
        ("git version 2.29.9", False, "too old"),
        ("git version 1.99.0", False, "too old"),
        ("hello", False, "does not tell its version"),
    ],
)
def test_git_must_be_new_enough(
    programs: Callable[..., None], settings: Settings, version: str, ok: bool, words: str
) -> None:
    programs(git=version)
    _is(doctor.check_git(settings), ok, words)


def test_a_missing_git_is_a_failure(programs: Callable[..., None], settings: Settings) -> None:
    programs()
    _is(doctor.check_git(settings), False, "There is no git")


@pytest.mark.parametrize(
    ("there", "pip", "ok", "words"),
    [
        ({"node": "v20.1.0", "npm": "10"}, True, True, "Node 20.1.0 with npm"),
        ({"node": "v20.1.0"}, True, None, "the first build that needs one installs it"),
        ({}, True, None, "the first build that needs one installs it"),
        ({}, False, False, "without pip"),
    ],
)
def test_a_missing_node_is_a_note_where_the_bot_can_install_one(
    programs: Callable[..., None],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    there: dict[str, str],
    pip: bool,
    ok: bool | None,
    words: str,
) -> None:
    programs(**there)
    if not pip:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _is(doctor.check_node(settings), ok, words)


def test_bubblewrap_is_really_tried(make_settings: MakeSettings) -> None:
    require_program("bwrap")
    found = doctor.check_sandbox(make_settings(SANDBOX="bubblewrap", SANDBOX_NETWORK="host"))
    _is(found, True, "SANDBOX=bubblewrap selects bubblewrap, and a trial command ran in it")


@pytest.mark.parametrize(
    ("sandbox", "ok", "words"),
    [
        ("process", None, "builds see this machine's files"),
        ("auto", None, "selects process; builds are not confined, since bubblewrap does not work"),
        ("bubblewrap", False, "SANDBOX=bubblewrap, SANDBOX_NETWORK=auto cannot be had: no luck"),
    ],
)
def test_a_bubblewrap_that_does_not_work_fails_only_who_insists_on_it(
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sandbox: str,
    ok: bool | None,
    words: str,
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise SystemFault("sandbox-failed", "no luck")

    monkeypatch.setattr(select, "Bubblewrap", refuse)
    _is(doctor.check_sandbox(make_settings(SANDBOX=sandbox)), ok, words)
    assert not caplog.records, "what is warned of is in the finding alone"


@pytest.mark.parametrize(("free", "ok"), [(2 << 30, True), ((2 << 30) - 1, None)])
def test_little_free_space_is_a_note(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, ok: bool | None
) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    found = doctor.check_disk(settings)
    _is(found, ok, "2.0 GB free in DATA_DIR")
    assert str(settings.WORK_DIR) in found.said
    assert not list(settings.WORK_DIR.iterdir())


def test_a_folder_that_cannot_be_written_is_a_failure(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    found = doctor.check_disk(make_settings(WORK_DIR=tmp_path / "file" / "work"))
    _is(found, False, "WORK_DIR cannot be written to")


def test_the_database_is_brought_up_to_date_and_left_as_it_was(settings: Settings) -> None:
    _is(doctor.check_database(settings), True, "is up to date and can be written")
    database = connect(settings.DATABASE_URL)
    tables = {name for (name,) in database.execute_sql("SELECT name FROM sqlite_master")}
    database.close()
    assert "projects" in tables
    assert "doctor" not in tables


@pytest.mark.parametrize("content", [None, b"this is no database, but long enough for one" * 9])
@pytest.mark.parametrize(
    ("check", "setting"),
    [(doctor.check_database, "DATABASE_URL"), (doctor.check_queue, "QUEUE_URL")],
)
def test_a_file_that_is_no_database_is_a_failure(
    make_settings: MakeSettings,
    tmp_path: Path,
    check: Callable[[Settings], Finding],
    setting: str,
    content: bytes | None,
) -> None:
    path = tmp_path / "taken"
    path.mkdir() if content is None else path.write_bytes(content)
    _is(check(make_settings(**{setting: f"sqlite://{path}"})), False, "cannot be used: ")


@pytest.mark.parametrize(
    ("check", "setting"),
    [(doctor.check_database, "DATABASE_URL"), (doctor.check_queue, "QUEUE_URL")],
)
def test_an_address_that_is_not_understood_is_a_failure(
    make_settings: MakeSettings, check: Callable[[Settings], Finding], setting: str
) -> None:
    _is(check(make_settings(**{setting: "carrier-pigeon://loft"})), False, f"{setting}: cannot use")


def test_a_database_whose_lock_is_held_for_ever_is_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(settings.DATABASE_URL)
    monkeypatch.setattr(doctor, "_DEADLINE", 0.3)
    path = Path(settings.DATABASE_URL.removeprefix("sqlite://"))
    before = set(threading.enumerate())
    with path.with_name(f"{path.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _is(doctor.check_database(settings), False, "no answer within 0.3 seconds")
    for thread in set(threading.enumerate()) - before:
        thread.join(10)  # the lock is free: what was left to itself ends


def test_the_queue_takes_a_message_and_keeps_those_that_wait(settings: Settings) -> None:
    queue = open_queue(settings.QUEUE_URL, "builds")
    queue.storage.enqueue(b"a build")
    _is(doctor.check_queue(settings), True, "takes messages. Waiting: builds 1, chores 0")
    assert queue.storage.queue_size() == 1
    queue.storage.close()
    trial = open_queue(settings.QUEUE_URL, "doctor")
    assert trial.storage.queue_size() == 0
    trial.storage.close()


@pytest.mark.parametrize(
    ("secret", "ok", "words"),
    [
        ("", True, "Made for development"),
        ("a" * 32, True, "Set."),
        ("a" * 15, None, "can be guessed"),
        (f"{'a' * 32},{'b' * 32}", None, "Two are accepted"),
        (f"{'a' * 32},b", None, "can be guessed"),
    ],
)
def test_the_webhook_secret_is_judged_and_never_shown(
    make_settings: MakeSettings, secret: str, ok: bool | None, words: str
) -> None:
    made = make_settings(GITHUB_WEBHOOK_SECRET=secret)
    found = doctor.check_webhook_secret(made)
    _is(found, ok, words)
    assert all(each.reveal() not in repr(found) for each in made.GITHUB_WEBHOOK_SECRET[:1])


def test_no_webhook_secret_at_all_is_a_failure(settings: Settings) -> None:
    object.__setattr__(settings, "GITHUB_WEBHOOK_SECRET", ())
    _is(doctor.check_webhook_secret(settings), False, "There is none")


def test_having_no_github_credentials_is_a_note(settings: Settings) -> None:
    _is(doctor.check_github(settings), None, "no status, comment or deployment is posted")


@pytest.mark.parametrize(
    ("status", "body", "ok", "words"),
    [
        (200, '{"login": "octocat"}', True, "accepts the token, as octocat"),
        (401, '{"message": "Bad credentials"}', False, "does not accept the token (HTTP 401)"),
        (503, "{}", False, "answers HTTP 503"),
    ],
)
def test_github_is_asked_who_the_token_is(
    make_settings: MakeSettings,
    answers: Answers,
    port: int,
    status: int,
    body: str,
    ok: bool,
    words: str,
) -> None:
    answers["/user"] = (status, body)
    made = make_settings(GITHUB_TOKEN="ghp_secret", GITHUB_API_URL=f"http://127.0.0.1:{port}")
    found = doctor.check_github(made)
    _is(found, ok, words)
    assert "ghp_secret" not in repr(found)


def test_a_github_that_cannot_be_reached_is_a_failure(
    make_settings: MakeSettings, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    url = f"http://127.0.0.1:{closed_port}"
    found = doctor.check_github(make_settings(GITHUB_TOKEN="ghp_x", GITHUB_API_URL=url))
    _is(found, False, f"{url} cannot be reached")


def test_a_github_that_never_answers_is_given_up(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(doctor, "_DEADLINE", 0.3)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        made = make_settings(GITHUB_TOKEN="ghp_x", GITHUB_API_URL=url)
        _is(doctor.check_github(made), False, "no answer within 0.3 seconds")
    for thread in set(threading.enumerate()) - before:
        thread.join(10)  # its connection is reset


def test_a_key_that_is_no_key_is_a_failure(make_settings: MakeSettings) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----"
    found = doctor.check_github(make_settings(GITHUB_APP_ID="1", GITHUB_APP_PRIVATE_KEY=pem))
    _is(found, False, "The App's key cannot be used")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000",
        "http://bot.localhost",
        "http://127.0.0.2:8000",
        "http://[::1]:8000",
        "http://192.168.1.20",
    ],
)
def test_an_address_that_github_cannot_reach_is_a_note(
    make_settings: MakeSettings, url: str
) -> None:
    _is(doctor.check_public_url(make_settings(PUBLIC_URL=url)), None, "GitHub cannot reach it")


@pytest.mark.parametrize(
    ("path", "answer", "running", "ok", "words"),
    [
        ("", (200, "ok\n"), True, True, "The bot answers at"),
        ("/bot", (200, "ok\n"), True, False, "HTTP 404"),
        ("", (200, "Welcome to nginx!"), True, False, "something other than the bot answers"),
        ("", (502, "Bad Gateway"), True, False, "HTTP 502"),
        ("", (502, "Bad Gateway"), False, None, "while the bot is stopped"),
    ],
)
def test_the_public_address_is_asked_for_the_bots_health(
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    answers: Answers,
    port: int,
    path: str,
    answer: tuple[int, str],
    running: bool,
    ok: bool | None,
    words: str,
) -> None:
    answers["/healthz"] = answer
    monkeypatch.setattr(doctor, "is_running", lambda settings: running)
    made = make_settings(PUBLIC_URL=f"http://previews.example.com:{port}{path}")
    _is(doctor.check_public_url(made), ok, words)


def test_a_check_that_breaks_leaves_the_others_their_say(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Settings) -> Finding:
        raise KeyError("surprise")

    sound = Finding("sound", True, "Well.")
    monkeypatch.setattr(doctor, "CHECKS", {"broken": broken, "sound": lambda settings: sound})
    _, first, second = doctor.diagnose(lambda: settings)
    _is(first, False, "KeyError: 'surprise'")
    assert second == sound


NOTE = Finding("note", None, "Mind this.", "Do that.")
FAILURE = Finding("failure", False, "It is broken.", "Mend it.")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    return CliRunner()


@pytest.mark.parametrize(
    ("found", "printed", "code"),
    [
        ([NOTE], ["! note: Mind this.", "    Do that."], 0),
        ([FAILURE, NOTE], ["✗ failure: It is broken.", "    Mend it.", "! note: Mind this."], 1),
    ],
)
def test_the_command_fails_for_failures_and_not_for_notes(
    run: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
    found: list[Finding],
    printed: list[str],
    code: int,
) -> None:
    checks = {each.name: lambda settings, each=each: each for each in found}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    answer = run.invoke(main, ["doctor"])
    assert answer.exit_code == code
    assert answer.output.splitlines()[0] == "✓ settings: All valid, for development."
    assert answer.output.splitlines()[1 : 1 + len(printed)] == printed

    answer = run.invoke(main, ["doctor", "--json"])
    assert answer.exit_code == code
    report = json.loads(answer.output)
    assert report["ok"] is (code == 0)
    assert [Finding(**each) for each in report["findings"]][1:] == found


def test_settings_that_cannot_be_read_are_the_first_and_only_finding(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.delenv("GITHUB_WEBHOOK_SECRET", raising=False)
    answer = run.invoke(main, ["doctor"])
    assert answer.exit_code == 1
    first, mend = answer.output.splitlines()
    assert first == "✗ settings: GITHUB_WEBHOOK_SECRET: must be set in production"
    assert "openssl rand -hex 32" in mend
