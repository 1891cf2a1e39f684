"""What a person at a terminal sees that a script does not: what goes on, while it goes on."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import ROOT, Bot
from tests.journeys.test_command_line import page
from tests.programs import require_program
from tests.uploads.archives import zip_of

pytestmark = pytest.mark.journey
SPINNER = re.compile("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]")


def at_a_terminal(*arguments: str, folder: Path, url: str) -> tuple[str, str]:
    """What the command shows on a terminal (stderr), and its stdout."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        (sys.executable, "-m", "bot", *arguments),
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "DEPLOYSTACK_URL": url,
            "TERM": "xterm",
            "COLUMNS": "120",
            "LANG": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
    os.close(ours)
    assert process.stdout is not None
    printed = process.stdout.read()
    process.stdout.close()
    assert process.wait(30) == 0, shown.decode()
    return shown.decode(), printed.decode()


def test_a_folders_and_an_archives_upload_have_a_bar(bot: Bot, tmp_path: Path) -> None:
    site = tmp_path / "bars"
    site.mkdir()
    for number in range(80):
        (site / f"{number}.html").write_text(f"bar {number}")
    (site / "index.html").write_text("a page")
    shown, printed = at_a_terminal("deploy", str(site), folder=tmp_path, url=bot.url)
    assert "81/81" in shown
    assert page(printed.strip()) == "a page"
    archive = tmp_path / "bars.zip"
    archive.write_bytes(zip_of({"index.html": b"zipped", "large.bin": os.urandom(3 << 20)}))
    shown, printed = at_a_terminal("deploy", str(archive), folder=tmp_path, url=bot.url)
    assert re.search(r"3\.1/3\.1 MB", shown)
    assert page(printed.strip()) == "zipped"


def test_a_build_shows_its_log_above_a_line_that_moves(bot: Bot, tmp_path: Path) -> None:
    require_program("npm")
    script = "echo first && mkdir dist && echo '[/] [bold]' > dist/index.html && cat dist/*"
    package = json.dumps({"name": "x", "scripts": {"build": script}})
    archive = tmp_path / "app.zip"
    archive.write_bytes(zip_of({"package.json": package.encode()}))
    shown, printed = at_a_terminal("deploy", str(archive), folder=tmp_path, url=bot.url)
    assert SPINNER.search(shown)
    assert "Building dpl-" in shown
    assert "| first" in shown
    assert "| [/] [bold]" in shown, "the log is text, not markup"
    assert page(printed.strip()) == "[/] [bold]\n"
