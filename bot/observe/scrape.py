"""`/metrics`: what every process counted, and what the database says at this moment.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import hmac
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bot.models import chores, dead_letters, measures, usage, workers
from bot.models.ids import now
from bot.models.measures import percentile
from bot.settings import Settings

_DAY = 24 * 3600 * 1000  # ms
# Summing up what is stored reads every file's row: not at every scrape.
_STORED_EVERY = 600.0  # s

Environ = dict[str, Any]


def exposition(settings: Settings) -> Callable[..., Iterable[bytes]]:
    """The WSGI application of `/metrics`, for whoever holds METRICS_TOKEN."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(settings.DATA_DIR / "metrics"))  # type: ignore[no-untyped-call]
    registry.register(_Now(settings))
    expected = f"Bearer {settings.METRICS_TOKEN.reveal()}".encode()

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        if not hmac.compare_digest(given, expected):
            headers = [("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer")]
            start_response("401 Unauthorized", headers)
            return [b"Send METRICS_TOKEN as a bearer token.\n"]
        body = generate_latest(registry)
        headers = [("Content-Type", CONTENT_TYPE_LATEST), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    return call


def serve(settings: Settings) -> WSGIServer:
    """Answer on METRICS_PORT, for workers on machines without a web process."""
    server = make_server(
        settings.HOST, settings.METRICS_PORT, exposition(settings), handler_class=_Quiet
    )
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """A scrape every few seconds is not worth a line."""


class _Now(Collector):
    """What is asked at the moment of a scrape."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stored = 0
        self._stored_due = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        time_now = now()
        waiting = GaugeMetricFamily(
            "deploystack_queue_builds", "Builds that wait.", labels=["priority"]
        )
        age = GaugeMetricFamily(
            "deploystack_queue_oldest_seconds", "Age of the oldest.", labels=["priority"]
        )
        found = {queue.priority: queue for queue in measures.queues()}
        for priority in ("production", "preview", "rerun"):
            queue = found.get(priority)
            waiting.add_metric([priority], queue.waiting if queue else 0)
            age.add_metric([priority], (time_now - queue.oldest) / 1000 if queue else 0)
        yield waiting
        yield age
        present = workers.present()
        yield _gauge("workers", "Worker processes that are there.", len(present))
        slots = sum(worker.slots for worker in present)
        yield _gauge("worker_slots", "Builds that they run at a time.", slots)
        dead = GaugeMetricFamily(
            "deploystack_dead_letters", "What was given up by our fault.", labels=["kind"]
        )
        for kind, count in dead_letters.counts().items():
            dead.add_metric([str(kind)], count)
        yield dead
        yield _gauge("running_builds", "Builds that run.", measures.running_builds())
        yield _gauge(
            "build_slots", "Builds that a worker runs at a time.", self._settings.BUILD_CONCURRENCY
        )
        outbox = measures.outbox()
        yield _gauge("outbox_entries", "What the code host must still be told.", outbox.waiting)
        lag = (time_now - outbox.oldest) / 1000 if outbox.oldest else 0
        yield _gauge("outbox_lag_seconds", "How long the oldest of that has waited.", lag)
        states = GaugeMetricFamily("deploystack_projects", "Projects.", labels=["state"])
        for state, count in measures.projects_by_state().items():
            states.add_metric([state], count)
        yield states
        waited = measures.queue_times(time_now - _DAY)
        times = GaugeMetricFamily(
            "deploystack_queue_wait_seconds",
            "How long builds of the last day waited.",
            labels=["percentile"],
        )
        for quantile in (0.5, 0.95):
            times.add_metric([str(int(quantile * 100))], percentile(waited, quantile) / 1000)
        yield times
        yield _gauge("stored_bytes", "Contents of all deployments, each once.", self._sum_stored())
        yield from _retention(time_now)
        free = shutil.disk_usage(self._settings.DATA_DIR).free
        yield _gauge("disk_free_bytes", "Free space where DATA_DIR lies.", free)

    def _sum_stored(self) -> int:
        if self._stored_due <= time.monotonic():
            self._stored = usage.stored_bytes()
            self._stored_due = time.monotonic() + _STORED_EVERY
        return self._stored


def _retention(time: int) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """What the last run of retention came to; nothing before the first."""
    last = chores.last("retention")
    if last is None:
        return
    yield _gauge("retention_age_seconds", "Since the last run.", (time - last.at) / 1000)
    for name, text in (
        ("retention_deployments_total", "Deployments that all runs took away."),
        ("retention_freed_bytes_total", "Bytes that all runs freed."),
    ):
        figure = name.removeprefix("retention_").removeprefix("freed_")
        yield CounterMetricFamily(f"deploystack_{name}", text, value=last.result.get(figure, 0))
    failed = "problem" in last.result
    yield _gauge("retention_failed", "Whether the last run failed.", failed)
    if failed:
        return
    for name, figure, text in (
        ("storage_held_bytes", "held", "What all deployments hold, each content once."),
        ("storage_budget_bytes", "budget", "STORAGE_BUDGET; 0: none."),
        ("storage_over_budget_bytes", "over", "By how much the budget cannot be met."),
    ):
        yield _gauge(name, text, last.result[figure])


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"deploystack_{name}", text, value=value)
