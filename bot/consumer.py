"""The worker process: two Huey consumers, one for builds and one for chores."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

from bot.app import create_worker
from bot.settings import Settings

if TYPE_CHECKING:
    from bot.reconcile import Reconciler

logger = logging.getLogger(__name__)

# SQLite cannot tell a waiting consumer of new work, so it is asked this often.
_POLL = 0.03  # seconds
_HEALTH_CHECK = 10.0  # seconds


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; then finish or hand back what runs, and return.

    SIGTERM leaves builds DRAIN_TIMEOUT seconds; SIGINT, or whichever comes second, nothing.
    """
    worker, tasks, reconciler, retention = create_worker(settings)
    stopping = threading.Event()

    def stop(signal_number: int, _frame: FrameType | None) -> None:
        patient = signal_number == signal.SIGTERM and not stopping.is_set()
        worker.stop(settings.DRAIN_TIMEOUT if patient else 0)
        # What is in the queue is another worker's from now on.
        builds.stop_flag.set()
        stopping.set()

    polling = {"initial_delay": _POLL, "max_delay": _POLL, "backoff": 1.0}
    builds = tasks.builds.create_consumer(
        workers=settings.BUILD_CONCURRENCY, periodic=False, **polling
    )
    chores = tasks.chores.create_consumer(workers=1, periodic=True, **polling)
    if settings.METRICS_TOKEN and settings.METRICS_PORT:
        from bot.observe.scrape import serve

        serve(settings)
    worker.start()
    for consumer in (builds, chores):
        consumer.start()
    # Each consumer took the signals for itself as it started; there are two of them.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(
        target=worker.watch_visits, args=(stopping,), name="visits", daemon=True
    ).start()
    threading.Thread(
        target=retention.watch, args=(stopping,), name="retention", daemon=True
    ).start()
    if reconciler is not None:
        threading.Thread(
            target=_reconcile,
            args=(reconciler, settings.RECONCILE_EVERY, stopping),
            name="reconcile",
            daemon=True,
        ).start()
    logger.info("worker ready, %d builds at a time", settings.BUILD_CONCURRENCY)
    while not stopping.wait(_HEALTH_CHECK):
        for consumer in (builds, chores):
            consumer.check_worker_health()
    # In this order: GitHub is told of the builds that end meanwhile.
    for consumer in (builds, chores):
        consumer.stop(graceful=True)
    worker.holder.leave()
    logger.info("worker stopped")


def _reconcile(reconciler: Reconciler, every: int, stopping: threading.Event) -> None:
    """Take up what was missed, at once and then now and again."""
    while True:
        try:
            reconciler.run()
        except Exception:
            logger.exception("what was missed could not be taken up")
        if stopping.wait(every):
            return
