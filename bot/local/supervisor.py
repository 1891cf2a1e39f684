"""Runs the Procfile's processes on this machine, and finds out whether they run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import Manager

from bot import first_token
from bot.errors import SystemFault, UserError
from bot.local.ports import reason_against
from bot.models.database import connect
from bot.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
_START_DEADLINE = 30.0  # seconds
_STOP_DEADLINE = 15.0


def run(settings: Settings) -> int:
    """Run web and worker until Ctrl-C or SIGTERM; answers the exit code."""
    _require_free_port(settings)
    # Migrated before anything listens, so that web and worker find it ready.
    database = connect(settings.DATABASE_URL)
    token = first_token.make_if_first(settings, database)
    # The processes below open their own.
    database.close()
    manager = Manager()
    for name, command in parse_procfile((ROOT / "Procfile").read_text()).processes.items():
        if name == "previews" and not settings.PREVIEW_PORT:
            continue  # the web process serves them
        manager.add_process(name, f"exec {command}", env=_environment(), cwd=str(ROOT))
    print(_welcome(settings) + _token_words(settings, token), flush=True)  # noqa: T201
    manager.loop()
    stopped_by_hand = manager.returncode in (130, 143)
    return 0 if stopped_by_hand else int(manager.returncode or 0)


def is_running(settings: Settings) -> bool:
    """Whether the bot answers at its own address."""
    try:
        with urllib.request.urlopen(f"{local_url(settings)}/healthz", timeout=2) as answer:  # noqa: S310
            return bool(answer.read() == b"ok\n")
    except (urllib.error.URLError, OSError):
        return False


def local_url(settings: Settings) -> str:
    """How a process of this machine reaches the bot, whatever PUBLIC_URL says."""
    host = "127.0.0.1" if settings.HOST in {"0.0.0.0", "::"} else settings.HOST  # noqa: S104
    return f"http://{host}:{settings.PORT}"


def start_in_background(settings: Settings) -> None:
    """Start the bot and return when it answers; `stop_background` ends it."""
    _require_free_port(settings)
    log = settings.DATA_DIR / "background.log"
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "start"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    _pid_file(settings).write_text(str(process.pid))
    deadline = time.monotonic() + _START_DEADLINE
    while not is_running(settings):
        if process.poll() is not None or time.monotonic() > deadline:
            stop_background(settings)
            raise SystemFault("not-started", f"The bot did not start; {log} says why.")
        time.sleep(0.1)


def stop_background(settings: Settings) -> bool:
    """End a bot that `start_in_background` started; `False`: there is none."""
    path = _pid_file(settings)
    try:
        pid = int(path.read_text())
        # The number may be another process's by now, after the machine was started anew.
        if b"bot\0start" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            raise ProcessLookupError(pid)
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        path.unlink(missing_ok=True)
        return False
    deadline = time.monotonic() + _STOP_DEADLINE
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # where it is our own child
            os.kill(pid, 0)
            time.sleep(0.1)
    path.unlink(missing_ok=True)
    return True


def _pid_file(settings: Settings) -> Path:
    return settings.DATA_DIR / "background.pid"


def _environment() -> dict[str, str]:
    """Ours, with the virtual environment's programs first."""
    binaries = str(Path(sys.executable).parent)
    path = os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)])
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    # It is Ctrl-C that ends these processes, and whoever pressed it waits.
    return {"DRAIN_TIMEOUT": "0"} | dict(os.environ) | own


def _require_free_port(settings: Settings) -> None:
    if reason := reason_against(settings.HOST, settings.PORT):
        raise UserError(
            "port-in-use",
            f"{settings.HOST}:{settings.PORT} cannot be listened on: {reason}.",
            "Stop what uses it, or choose another: PORT=8080 make start.",
        )


def _dashboard(settings: Settings) -> str:
    if not settings.DASHBOARD_PORT:
        return "off (DASHBOARD_PORT is 0)"
    if reason := reason_against(settings.HOST, settings.DASHBOARD_PORT):
        return f"off (port {settings.DASHBOARD_PORT}: {reason}; set DASHBOARD_PORT)"
    return settings.DASHBOARD_URL


def _token_words(settings: Settings, token: str) -> str:
    """How the first administrator gets in. Output that is kept is given no secret."""
    path = first_token.path_of(settings)
    if not token and not path.exists():
        return ""
    words = "\n  Administrator's token, for the dashboard and for the API from elsewhere:\n"
    if token and sys.stdout.isatty():
        words += f"\n    {token}\n\n  It is shown this once."
    return f"{words}\n  It is in {path}, until it is first used.\n"


def _welcome(settings: Settings) -> str:
    credentials = settings.GITHUB_TOKEN or settings.GITHUB_APP_ID
    reporting = "on" if credentials else "off (no GITHUB_TOKEN: statuses go to the log)"
    return f"""
  DeployStack is starting.

    Open          {settings.PUBLIC_URL}
    Dashboard     {_dashboard(settings)}
    Webhook       {settings.PUBLIC_URL}/webhooks/github
    Data          {settings.DATA_DIR}
    To GitHub     {reporting}

  Next: `make demo` in another terminal pushes a commit and shows its page;
  `.venv/bin/deploystack try PATH-OR-GIT-URL` does so with a repository of yours;
  README.md says how to connect a repository on GitHub. Ctrl-C stops everything.
"""
