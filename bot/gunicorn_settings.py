"""gunicorn's configuration, from our settings.

https://docs.gunicorn.org/en/stable/settings.html
"""

from __future__ import annotations

import os
from typing import Any

from bot.local.ports import can_listen
from bot.settings import load
from bot.slow_clients import bound_silence

_settings = load()
_cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

bind = [f"{_settings.HOST}:{_settings.PORT}"]
# The same processes serve the dashboard, on an origin of its own. A second bot on a
# laptop goes without one rather than not at all.
if _settings.DASHBOARD_PORT and (
    _settings.production or can_listen(_settings.HOST, _settings.DASHBOARD_PORT)
):
    bind.append(f"{_settings.HOST}:{_settings.DASHBOARD_PORT}")
workers = _settings.WEB_WORKERS
worker_class = "gthread"
threads = _settings.WEB_THREADS
# Loaded once, before the fork: the workers share the code's memory.
preload_app = True
keepalive = 15
timeout = 60
graceful_timeout = 3
# Requests in the backlog wait; GitHub gives up after 10 seconds.
backlog = 1024
accesslog = None
loglevel = "warning"
# Heartbeat files on a disk can block a worker for as long as the disk does.
worker_tmp_dir = "/dev/shm"  # noqa: S108
no_control_socket = True


# One CPU for each worker: half of a small request's time went into its threads
# waking each other across CPUs for the interpreter's lock.
# https://docs.gunicorn.org/en/stable/settings.html#server-hooks
def pre_fork(server: Any, worker: Any) -> None:
    """Choose the CPU that the fewest of the other workers have."""
    taken = [other.cpu for other in server.WORKERS.values()]
    worker.cpu = min(_cpus, key=taken.count) if _cpus else None


def post_fork(_server: Any, worker: Any) -> None:
    if worker.cpu is not None:
        os.sched_setaffinity(0, {worker.cpu})
    for listener in worker.sockets:
        bound_silence(listener)


def on_starting(_server: Any) -> None:
    """Forget what processes counted that are gone."""
    from bot.observe.metrics import forget_dead

    forget_dead(_settings)
