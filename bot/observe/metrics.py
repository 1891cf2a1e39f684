"""What is counted in memory, by every process of this machine together.

The processes share files below `DATA_DIR/metrics`, which is Prometheus's way for
Python servers of many processes. Label sets are bounded: no project, branch or
address is ever a label. What the database knows is asked at the moment of a scrape
(`bot.observe.scrape`), and is not in charge here.

https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.events import BuildCompleted, BuildFailed, Bus
from bot.models.tables import Build
from bot.observe import lookups
from bot.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import Histogram

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STAGE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_NAMES_OF_FRAMEWORKS = 80  # more than the table has: what comes after is `other`

Environ = dict[str, Any]
WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def enable(settings: Settings) -> bool:
    """Get ready to count, before anything imports the library; `False`: not asked for."""
    if not settings.METRICS_TOKEN:
        return False
    folder = settings.DATA_DIR / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[_FOLDER] = str(folder)
    return True


def forget_dead(settings: Settings) -> None:
    """Drop the files of processes that are gone. Their counters start again from zero."""
    for path in (settings.DATA_DIR / "metrics").glob("*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


def timed(application: WsgiApplication) -> WsgiApplication:
    """The same application; each request's time until its answer begins is recorded.

    `kind` is what `environ["deploystack.kind"]` says afterwards, else `preview`.
    """
    from prometheus_client import Histogram

    seconds = Histogram(
        "deploystack_http_request_seconds",
        "Time until an answer begins.",
        ["kind", "status"],
        buckets=_REQUEST_BUCKETS,
    )
    children: dict[tuple[str, str], Histogram] = {}

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        status = "5"

        def started(line: str, *rest: Any) -> Any:
            nonlocal status
            status = line[0]
            return start_response(line, *rest)

        began = time.perf_counter()
        try:
            return application(environ, started)
        finally:
            key = environ.get("deploystack.kind", "preview"), status
            child = children.get(key)
            if child is None:
                child = children[key] = seconds.labels(key[0], f"{key[1]}xx")
            child.observe(time.perf_counter() - began)

    return call


def count_trips() -> Callable[[], None]:
    """What is called each time that the code host is found to be down."""
    from prometheus_client import Counter

    return Counter("deploystack_breaker_trips", "Outages of the code host that were noticed.").inc


def count_lookups() -> None:
    """Count what this process's caches had, and had not."""
    from prometheus_client import Counter

    counter = Counter("deploystack_cache_lookups", "Lookups in caches.", ["cache", "result"])
    lookups.listen(lambda cache, found: counter.labels(cache, "hit" if found else "miss").inc())


class Builds:
    """Counts builds as they end, and the time that each stage took."""

    def __init__(self, bus: Bus) -> None:
        from prometheus_client import Counter, Histogram

        self._ended = Counter("deploystack_builds", "Builds that ended.", ["status"])
        self._busy = Counter(
            "deploystack_worker_busy_seconds", "Time that workers spent on builds that ended."
        )
        self._stages = Histogram(
            "deploystack_build_stage_seconds",
            "Time of a build's stage.",
            ["stage", "framework"],
            buckets=_STAGE_BUCKETS,
        )
        self._frameworks: set[str] = set()
        bus.subscribe(BuildCompleted, self._count)
        bus.subscribe(BuildFailed, self._count)

    def _count(self, event: BuildCompleted | BuildFailed) -> None:
        build: Build = Build.get_by_id(event.build_id)
        self._ended.labels(str(build.status)).inc()
        for stage, seconds in json.loads(build.stages).items():
            self._stages.labels(stage, self._bounded(build.framework)).observe(seconds)
            if stage != "queue":
                self._busy.inc(seconds)

    def _bounded(self, framework: str) -> str:
        if framework not in self._frameworks and len(self._frameworks) >= _NAMES_OF_FRAMEWORKS:
            return "other"
        self._frameworks.add(framework)
        return framework or "unknown"
