"""A whole bot, web and worker, for the length of a block."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.programs import ROOT, free_port
from bot.local import supervisor
from bot.settings import Settings, load


@contextmanager
def running_bot(folder: Path, **given: str) -> Iterator[Settings]:
    """Start it as a user does, on a free port with its data in `folder`; yields its settings.

    Keyword arguments are settings.
    """
    data = str(folder / "data")
    os.environ |= {"DATA_DIR": data, "PORT": str(free_port()), "PYTHONPATH": str(ROOT)} | given
    settings = load(dotenv=None)
    bot = subprocess.Popen(
        [sys.executable, "-m", "bot", "start"], stdout=subprocess.DEVNULL, cwd=ROOT
    )
    try:
        while not supervisor.is_running(settings):
            time.sleep(0.1)
        yield settings
    finally:
        bot.terminate()
        bot.wait()
