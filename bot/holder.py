"""Who holds builds: this process, by an id of its own, and for as long as it lives.

Its life shows in two ways. It renews a lease in the database, which every machine can see;
and it keeps a file under `DATA_DIR/workers` locked, which the system undoes at the moment
that the process ends, so that whoever shares the folder need not wait for the lease to run
out. Neither host names nor process ids are relied on: containers share both.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bot.models import workers
from bot.models.database import Database
from bot.models.ids import new_id, now

logger = logging.getLogger(__name__)

BEAT = 10.0  # seconds
# Nobody needs to know of a process that has been gone for so long.
_REMEMBERED = 3_600_000  # ms


class Holder:
    """This process, as others see it."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.id = new_id("wrk")
        self._folder = folder
        self._database = database
        self._descriptor = -1
        self._locking = threading.Lock()
        self._ended = threading.Event()

    def claim_name(self) -> str:
        """A name for one claim: a process may be given the same build again, after a pause
        longer than a lease, while it still runs the earlier attempt."""
        self._show_life()
        return f"{self.id}:{os.urandom(4).hex()}"

    def _show_life(self) -> None:
        with self._locking:
            if self._descriptor < 0:
                self._folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._folder / self.id, os.O_CREAT | os.O_RDWR, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._descriptor = descriptor

    def beat(self, slots: int, meanwhile: Callable[[], None]) -> None:
        """Renew the lease now and then until `leave`; `slots` builds are run at a time.

        `meanwhile` is called after each renewal.
        """
        self._renew(slots)
        threading.Thread(
            target=self._beat, args=(slots, meanwhile), name="heartbeat", daemon=True
        ).start()

    def _beat(self, slots: int, meanwhile: Callable[[], None]) -> None:
        while not self._ended.wait(BEAT):
            try:
                self._renew(slots)
                meanwhile()
            except Exception:  # the database may be back at the next beat
                logger.exception("the worker's lease could not be renewed")

    def _renew(self, slots: int) -> None:
        with self._database.write(durable=False):
            if not self._ended.is_set():
                workers.renew(self.id, socket.gethostname(), slots)

    def leave(self) -> None:
        """This process runs no more builds."""
        self._ended.set()
        with self._database.write(durable=False):
            workers.leave(self.id)
        with self._locking:
            if self._descriptor >= 0:
                (self._folder / self.id).unlink(missing_ok=True)
                os.close(self._descriptor)
                self._descriptor = -1

    @contextlib.contextmanager
    def dead(self) -> Iterator[list[str]]:
        """The ids of processes with this folder that have ended without leaving.

        They are forgotten when the block ends without an error; meanwhile nobody else is
        told of them.
        """
        with contextlib.ExitStack() as held:
            others = (path for path in self._folder.glob("wrk-*") if path.name != self.id)
            found = [path.name for path in others if held.enter_context(_locked(path))]
            yield found
            for name in found:
                (self._folder / name).unlink(missing_ok=True)
        with self._database.write(durable=False):
            for name in found:
                workers.leave(name)
            workers.forget_gone(now() - _REMEMBERED)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether nobody had the file locked; then we have, for as long as the block takes."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = True
    except BlockingIOError:
        taken = False
    try:
        yield taken
    finally:
        os.close(descriptor)
