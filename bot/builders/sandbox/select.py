"""Chooses how builds are confined."""

from __future__ import annotations

import logging
import subprocess
import tempfile
import threading
from pathlib import Path

from bot.builders.sandbox.account import hand_over
from bot.builders.sandbox.bubblewrap import Bubblewrap
from bot.builders.sandbox.container import ContainerRunner
from bot.builders.sandbox.control_group import find_control_groups
from bot.builders.sandbox.network import PublicNetwork
from bot.builders.sandbox.process import ProcessRunner
from bot.builders.sandbox.runner import Command, Limits, Overlay, Runner
from bot.errors import SystemFault
from bot.settings import Settings

logger = logging.getLogger(__name__)

# Generous: where only the account's processes can be counted, builds that run at this
# moment count too, and a busy machine is slow.
_TRIAL = Limits(seconds=30, memory=1 << 28, processes=4096, disk=1 << 24, log=1 << 16)


def select_runner(settings: Settings) -> Runner:
    """The runner that SANDBOX names; for `auto`, the first that really works.

    Raises `SystemFault` where the one that was asked for does not work, or BUILD_NETWORK
    wants a network closed that it cannot close.
    """
    runner = _select(settings)
    if settings.BUILD_NETWORK != "full" and not runner.confines:
        raise SystemFault(
            "sandbox-failed",
            f"BUILD_NETWORK={settings.BUILD_NETWORK} needs a sandbox: the process runner "
            "cannot close the network.",
            "Install bubblewrap, or set BUILD_NETWORK=full.",
        )
    return runner


def _select(settings: Settings) -> Runner:
    groups = find_control_groups()
    if settings.SANDBOX == "process":
        return ProcessRunner(groups)
    if settings.SANDBOX == "container":
        container = ContainerRunner(
            settings.SANDBOX_ENGINE,
            settings.SANDBOX_IMAGE,
            settings.SANDBOX_CONTAINER_OPTIONS,
            groups,
        )
        try_out(container, settings.WORK_DIR)
        connect(container, settings)
        return container
    try:
        runner = Bubblewrap(groups, hidden=(settings.DATA_DIR,))
        try_out(runner, settings.WORK_DIR)
    except SystemFault as fault:
        if settings.SANDBOX == "bubblewrap":
            raise
        logger.warning(
            "builds are not confined, since bubblewrap does not work here (%s); "
            "install it, or build only what you trust",
            fault,
        )
        return ProcessRunner(groups)
    connect(runner, settings)
    return runner


def connect(runner: Bubblewrap | ContainerRunner, settings: Settings) -> None:
    """Give builds a network without private addresses, where that works.

    Raises `SystemFault` where SANDBOX_NETWORK insists on it and it does not.
    """
    if settings.SANDBOX_NETWORK == "host":
        return
    if not runner.connects:
        if settings.SANDBOX_NETWORK == "public":
            raise SystemFault("sandbox-failed", "SANDBOX_NETWORK=public needs Podman.")
        logger.warning("builds can reach what the container engine's network reaches")
        return
    try:
        runner.network = PublicNetwork(settings.SANDBOX_ALLOWED_NETWORKS)
        with tempfile.TemporaryDirectory(dir=settings.WORK_DIR, prefix=".trial-") as name:
            folder = Path(name, "tree")
            folder.mkdir()
            _touch(runner, folder, (), network=True)
    except (SystemFault, subprocess.TimeoutExpired) as fault:
        if settings.SANDBOX_NETWORK == "public":
            raise
        runner.network = None
        logger.warning(
            "builds can reach private addresses and this machine's own ports (%s); "
            "install slirp4netns, or set SANDBOX_NETWORK=host to accept that",
            fault,
        )


def try_out(runner: Runner, place: Path) -> None:
    """Run trivial commands just as builds are run, in a folder of `place`.

    Raises `SystemFault` with what they said. Where only overlays do not work, the runner
    is told to do without.
    """
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=".trial-") as name:
        folder = Path(name, "tree")
        folder.mkdir()
        _touch(runner, folder, ())
        if runner.overlays:
            source, changes = Path(name, "source"), Path(name, "changes")
            for made in (source, changes, changes / "upper", changes / "work", folder / "on"):
                made.mkdir()
                hand_over(made)
            overlay = Overlay(source=source, target=folder / "on", changes=changes)
            try:
                _touch(runner, folder, (overlay,))
            except SystemFault as fault:
                logger.info("dependencies are copied for each build: %s", fault)
                runner.overlays = False


def _touch(
    runner: Runner, folder: Path, overlays: tuple[Overlay, ...], *, network: bool = False
) -> None:
    said: list[bytes] = []
    shown = overlays[0].target if overlays else folder
    command = Command(
        argv=("touch", str(shown / "works")),
        folder=folder,
        writable=(folder,),
        overlays=overlays,
        network=network,
    )
    try:
        finished = runner.run(command, _TRIAL, said.append, threading.Event())
    except OSError as error:
        raise SystemFault("sandbox-failed", f"{runner.name} does not work: {error}") from error
    kept = overlays[0].changes / "upper" if overlays else folder
    if not finished.succeeded or not (kept / "works").is_file():
        words = b"".join(said).decode(errors="replace").strip()
        raise SystemFault("sandbox-failed", f"{runner.name} does not work here: {words}")
