"""`deploystack doctor`: whether this machine and these settings will do, before a push shows it.

Each check looks at one thing, just as the bot itself will use it, and answers a `Finding`.
Nothing is mended here, and what a check tries out it takes back.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import peewee

from bot.builders.node import system_node
from bot.builders.sandbox import select
from bot.errors import DeployStackError, InvalidSetting
from bot.github.client import client_from
from bot.local.supervisor import is_running
from bot.models.database import connect
from bot.queues import open_queue
from bot.settings import Settings, load

_OLDEST_GIT = (2, 30)
_LEAST_FREE = 2 << 30  # bytes
_SHORTEST_SECRET = 16  # characters
_PUBLIC_DEADLINE = 3.0  # seconds
_DEADLINE = 8.0  # seconds: GitHub, and whoever else holds the database's lock
_MARKS = {True: "✓", None: "!", False: "✗"}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Finding:
    """What a check found. `ok`: `None` is a note, which fails nothing; `mend` is for a person."""

    name: str
    ok: bool | None
    said: str
    mend: str = ""


def diagnose(read: Callable[[], Settings] = load) -> Iterator[Finding]:
    """The findings of all checks, one by one; only the first where settings cannot be read."""
    try:
        settings = read()
    except InvalidSetting as error:
        yield Finding("settings", False, error.message, error.hint)
        return
    except OSError as error:
        mend = "Let the bot's account read .env and write to DATA_DIR."
        yield Finding("settings", False, f"The settings cannot be read: {error}.", mend)
        return
    yield Finding("settings", True, f"All valid, for {settings.ENVIRONMENT}.")
    for name, check in CHECKS.items():
        try:
            yield check(settings)
        except Exception as error:  # the other checks still have something to say
            said = f"The check itself failed: {type(error).__name__}: {error}"
            yield Finding(name, False, said, "Please report this: it is a defect of `doctor`.")


def lines(finding: Finding) -> Iterator[str]:
    """What to print of a finding."""
    yield f"{_MARKS[finding.ok]} {finding.name}: {finding.said}"
    if finding.mend:
        yield f"    {finding.mend}"


def check_git(settings: Settings) -> Finding:
    del settings
    mend = f"Install git {_OLDEST_GIT[0]}.{_OLDEST_GIT[1]} or newer, and have it on PATH."
    try:
        said = subprocess.run(
            ("git", "--version"), capture_output=True, text=True, check=True, timeout=_DEADLINE
        ).stdout.strip()
    except FileNotFoundError:
        return Finding("git", False, "There is no git, so nothing can be fetched.", mend)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", False, f"git does not run: {error}.", mend)
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is None:
        return Finding("git", False, f"git does not tell its version: {said!r}.", mend)
    if (int(version[1]), int(version[2])) < _OLDEST_GIT:
        return Finding("git", False, f"{said} is too old.", mend)
    return Finding("git", True, f"{said}.")


def check_node(settings: Settings) -> Finding:
    del settings
    for node in system_node(os.environ):
        return Finding("node", True, f"Node {node.version} with npm.")
    if importlib.util.find_spec("pip") is None:
        return Finding(
            "node",
            False,
            "There is no Node with npm, and without pip the bot cannot install one.",
            "Install Node with npm, or pip into the bot's virtual environment.",
        )
    return Finding(
        "node",
        None,
        "There is no Node with npm here; the first build that needs one installs it.",
        "Nothing need be done. To spare that build the download, install Node with npm.",
    )


def check_sandbox(settings: Settings) -> Finding:
    if settings.SANDBOX == "process":
        return Finding(
            "sandbox",
            None,
            "SANDBOX=process: builds see this machine's files.",
            "Unless you trust whatever is pushed, install bubblewrap and set SANDBOX=auto.",
        )
    with _warnings_of(select.logger) as warnings:
        try:
            runner = select.select_runner(settings)
        except (DeployStackError, OSError, subprocess.SubprocessError) as error:
            return Finding(
                "sandbox",
                False,
                f"SANDBOX={settings.SANDBOX}, SANDBOX_NETWORK={settings.SANDBOX_NETWORK} "
                f"cannot be had: {error}",
                "Install bubblewrap and slirp4netns, and allow user namespaces; "
                "docs/sandbox.md says how.",
            )
    chosen = f"SANDBOX={settings.SANDBOX} selects {runner.name}"
    if warnings:
        mend = "docs/sandbox.md says what each sandbox needs, and what it keeps from builds."
        return Finding("sandbox", None, f"{chosen}; {'; '.join(warnings)}.", mend)
    return Finding("sandbox", True, f"{chosen}, and a trial command ran in it.")


def check_disk(settings: Settings) -> Finding:
    said: list[str] = []
    scarce = False
    for name, folder in (("DATA_DIR", settings.DATA_DIR), ("WORK_DIR", settings.WORK_DIR)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as trial:
                trial.write(b"works")
            free = shutil.disk_usage(folder).free
        except OSError as error:
            mend = f"Let the bot's account write to {folder}, or set {name} to another folder."
            return Finding("disk", False, f"{name} cannot be written to: {error}.", mend)
        said.append(f"{free / (1 << 30):.1f} GB free in {name} ({folder})")
        scarce = scarce or free < _LEAST_FREE
    if scarce:
        mend = "Free some space, lower CACHE_SIZE, or set DATA_DIR or WORK_DIR to a larger disk."
        return Finding("disk", None, f"{', '.join(said)}: less than 2 GB.", mend)
    return Finding("disk", True, f"{', '.join(said)}.")


class _TakenBack(Exception):
    """Ends a transaction that is to leave nothing behind."""


def check_database(settings: Settings) -> Finding:
    def write_and_take_back() -> None:
        database = connect(settings.DATABASE_URL)
        try:
            with contextlib.suppress(_TakenBack), database.write():
                database.execute_sql("CREATE TABLE doctor (works INTEGER)")
                raise _TakenBack
        finally:
            database.close()

    failure = _failure_of(write_and_take_back)
    if failure is not None:
        return Finding(
            "database",
            False,
            f"{settings.DATABASE_URL} cannot be used: {failure}",
            "Is DATABASE_URL right, may the bot's account write to the file and its folder, "
            "is the disk full, and does a process that hangs hold its lock?",
        )
    return Finding("database", True, f"{settings.DATABASE_URL} is up to date and can be written.")


def check_queue(settings: Settings) -> Finding:
    waiting: dict[str, int] = {}

    def enqueue_and_count() -> None:
        # A queue of its own in the same file: no worker ever listens to it.
        trial = open_queue(settings.QUEUE_URL, "doctor")
        try:
            trial.storage.enqueue(b"works")
        finally:
            trial.storage.flush_queue()
            trial.storage.close()
        for name in ("builds", "chores"):
            queue = open_queue(settings.QUEUE_URL, name)
            waiting[name] = queue.storage.queue_size()
            queue.storage.close()

    failure = _failure_of(enqueue_and_count)
    if failure is not None:
        return Finding(
            "queue",
            False,
            f"{settings.QUEUE_URL} cannot be used: {failure}",
            "Is QUEUE_URL right, and may the bot's account write to the file and its folder? "
            "The file may be deleted while the bot is stopped: the database knows what is due.",
        )
    counts = ", ".join(f"{name} {count}" for name, count in waiting.items())
    return Finding("queue", True, f"{settings.QUEUE_URL} takes messages. Waiting: {counts}.")


def check_webhook_secret(settings: Settings) -> Finding:
    name = "webhook secret"
    kept = settings.DATA_DIR / "webhook-secret"
    if not settings.GITHUB_WEBHOOK_SECRET:
        mend = "Make one with `openssl rand -hex 32`, and set GITHUB_WEBHOOK_SECRET to it."
        return Finding(name, False, "There is none: no webhook would be accepted.", mend)
    secrets = [secret.reveal() for secret in settings.GITHUB_WEBHOOK_SECRET]
    if kept.is_file() and secrets == [kept.read_text().strip()]:
        return Finding(name, True, f"Made for development, and kept in {kept}.")
    if min(map(len, secrets)) < _SHORTEST_SECRET:
        return Finding(
            name,
            None,
            f"Set, but shorter than {_SHORTEST_SECRET} characters: it can be guessed.",
            "Make another with `openssl rand -hex 32`, here and in GitHub's webhook form.",
        )
    if len(secrets) > 1:
        mend = "Take the old one out of GITHUB_WEBHOOK_SECRET once GitHub has the new one."
        return Finding(name, None, "Two are accepted, as while rotating.", mend)
    return Finding(name, True, "Set.")


def check_github(settings: Settings) -> Finding:
    name = "GitHub credentials"
    client = client_from(settings)
    if client is None:
        return Finding(
            name,
            None,
            "None: pushes are built, but only public repositories can be fetched, and no "
            "status, comment or deployment is posted.",
            "Set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY; see docs/github.md.",
        )
    given = "the App's key" if settings.GITHUB_APP_ID else "the token"
    try:
        login = _within(_DEADLINE, client.login)
    except Exception as error:  # PyGithub, the network, and the key's parser have their own
        return Finding(name, False, *_refusal(settings, given, error))
    return Finding(name, True, f"{settings.GITHUB_API_URL} accepts {given}, as {login}.")


def _refusal(settings: Settings, given: str, error: Exception) -> tuple[str, str]:
    """What is wrong with the credentials, and what to do."""
    from github import GithubException

    where = settings.GITHUB_API_URL
    if isinstance(error, GithubException):
        mend = (
            "Do GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY belong together, and is the clock right?"
            if settings.GITHUB_APP_ID
            else "Has the token expired or been revoked? Make a new one; docs/github.md says how."
        )
        if error.status in {401, 403, 404}:
            return f"{where} does not accept {given} (HTTP {error.status}).", mend
        mend = "Look at GITHUB_API_URL and https://www.githubstatus.com, and try again."
        return f"{where} answers HTTP {error.status}.", mend
    if isinstance(error, OSError):
        mend = "Look at GITHUB_API_URL, at name resolution, and at any proxy or firewall."
        return f"{where} cannot be reached: {_words(error)}", mend
    mend = "Is it whole and unchanged? GITHUB_APP_PRIVATE_KEY is the PEM file's text or its path."
    return f"{given[0].upper()}{given[1:]} cannot be used: {_words(error)}", mend


def check_public_url(settings: Settings) -> Finding:
    name, url = "public URL", settings.PUBLIC_URL
    if _is_local(urlsplit(url).hostname or ""):
        return Finding(
            name,
            None,
            f"{url} leads to this machine or its own network, where GitHub cannot reach it.",
            "To get webhooks from GitHub, set PUBLIC_URL to an address that the Internet reaches.",
        )
    try:
        answer = _within(_PUBLIC_DEADLINE, lambda: _health_at(url))
        failure = "" if answer == b"ok\n" else "something other than the bot answers"
    except (OSError, ValueError) as error:
        failure = _words(error)
    if not failure:
        return Finding(name, True, f"The bot answers at {url}.")
    if not is_running(settings):
        mend = "Start the bot, and ask again."
        return Finding(name, None, f"{url} cannot be judged while the bot is stopped.", mend)
    return Finding(
        name,
        False,
        f"The bot runs, but does not answer at {url}: {failure.rstrip('.')}.",
        "Look at the DNS entry, the certificate, the firewall, and the proxy's forwarding to "
        f"port {settings.PORT}. Some networks only close this way from the inside.",
    )


CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "git": check_git,
    "node": check_node,
    "sandbox": check_sandbox,
    "disk": check_disk,
    "database": check_database,
    "queue": check_queue,
    "webhook secret": check_webhook_secret,
    "GitHub credentials": check_github,
    "public URL": check_public_url,
}


def _health_at(url: str) -> bytes:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=_PUBLIC_DEADLINE) as answer:  # noqa: S310
            return bytes(answer.read(64))
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"HTTP {error.code} {error.reason}") from None


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _failure_of(attempt: Callable[[], None]) -> str | None:
    """Why a database of ours cannot be used; `None`: it can."""
    try:
        _within(_DEADLINE, attempt)
    except (DeployStackError, OSError, peewee.PeeweeException, sqlite3.Error) as error:
        return _words(error)
    return None


def _within(seconds: float, attempt: Callable[[], Answer]) -> Answer:
    """Its answer or its exception; `TimeoutError` where it takes longer, and is left to itself."""
    answers: list[Answer] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(attempt())
        except Exception as error:  # raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return answers[0]


def _words(error: Exception) -> str:
    words = str(getattr(error, "reason", None) or error) or type(error).__name__
    return f"{words.rstrip('.')}."


@contextlib.contextmanager
def _warnings_of(logger: logging.Logger) -> Iterator[list[str]]:
    """Collect what is warned of, instead of having it logged."""
    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                collected.append(record.getMessage())

    collector, propagated = Collector(), logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield collected
    finally:
        logger.propagate = propagated
        logger.removeHandler(collector)
