"""Chooses how builds are confined."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path

from bot.builders.sandbox.bubblewrap import Bubblewrap
from bot.builders.sandbox.control_group import find_control_groups
from bot.builders.sandbox.process import ProcessRunner
from bot.builders.sandbox.runner import Command, Limits, Runner
from bot.errors import SystemFault
from bot.settings import Settings

logger = logging.getLogger(__name__)

_TRIAL = Limits(seconds=10, memory=1 << 28, processes=64, disk=1 << 24, log=1 << 16)


def select_runner(settings: Settings) -> Runner:
    """The runner that SANDBOX names; for `auto`, the first that really works.

    Raises `SystemFault` where the one that was asked for does not work.
    """
    groups = find_control_groups()
    if settings.SANDBOX == "process":
        return ProcessRunner(groups)
    try:
        runner = Bubblewrap(groups, hidden=(settings.DATA_DIR,))
        try_out(runner)
    except SystemFault as fault:
        if settings.SANDBOX == "bubblewrap":
            raise
        logger.warning(
            "builds are not confined, since bubblewrap does not work here (%s); "
            "install it, or build only what you trust",
            fault,
        )
        return ProcessRunner(groups)
    return runner


def try_out(runner: Runner) -> None:
    """Run a trivial command just as builds are run; raises `SystemFault` with what it said."""
    said: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="deploystack-") as name:
        folder = Path(name)
        command = Command(argv=("touch", "works"), folder=folder, writable=(folder,))
        try:
            finished = runner.run(command, _TRIAL, said.append, threading.Event())
        except OSError as error:
            raise SystemFault("sandbox-failed", f"{runner.name} does not work: {error}") from error
        worked = finished.succeeded and (folder / "works").is_file()
    if not worked:
        words = b"".join(said).decode(errors="replace").strip()
        raise SystemFault("sandbox-failed", f"{runner.name} does not work here: {words}")
