"""Which libraries a process loads depends on what its settings ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRINT = "; import sys; print(*sorted(set(sys.argv[1:]) & set(sys.modules)))"
WATCHED = ("psycopg", "redis", "git", "github", "cryptography", "boto3", "prometheus_client")


def loaded(program: str, folder: Path, **settings: str) -> set[str]:
    """Those of WATCHED that a fresh process has in memory after `program`."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environ = {**kept, "PYTHONPATH": str(Path(__file__).parents[1]), "DATA_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", program + PRINT, *WATCHED],
        env=environ | settings, cwd=folder, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return set(done.stdout.split())


def test_a_web_process_on_a_laptop_loads_no_driver_and_nothing_of_builds(tmp_path: Path) -> None:
    assert loaded("import bot.wsgi", tmp_path) == set()


def test_a_previews_process_loads_no_driver(tmp_path: Path) -> None:
    program = "from bot.serve.main import create_application; create_application()"
    assert loaded(program, tmp_path) == set()


def test_what_the_settings_ask_for_is_loaded(tmp_path: Path) -> None:
    program = "import bot.wsgi"
    url = "redis://127.0.0.1:1/0"
    assert "redis" in loaded(program, tmp_path, QUEUE_URL=url)
    assert "prometheus_client" in loaded(program, tmp_path, METRICS_TOKEN="x")


@pytest.mark.parametrize("name", ["psycopg", "redis"])
def test_a_driver_can_be_loaded_afterwards(name: str, tmp_path: Path) -> None:
    assert loaded(f"import bot.wsgi, {name}", tmp_path) >= {name}
