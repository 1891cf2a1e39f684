"""Metrics, as Prometheus gets them: over HTTP, from several processes together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.models import chores, measures
from bot.models.database import Database
from bot.models.deployments import request_build
from bot.models.ids import now
from bot.models.measures import percentile
from bot.models.projects import connect_project
from bot.models.tables import Build
from bot.observe.metrics import forget_dead
from bot.settings import Settings
from tests.programs import require_program

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# A process of its own: the library chooses its way of counting when it is imported.
PROCESS = """
import sys, threading
from wsgiref.simple_server import make_server
from bot.builders.cache import Caches, CacheScope
from bot.events import BuildCompleted, Bus
from bot.models.database import connect
from bot.observe import metrics
from bot.settings import load
settings = load({"DATA_DIR": sys.argv[1], "METRICS_TOKEN": "measured"}, None)
assert metrics.enable(settings)
connect(settings.DATABASE_URL)
bus = Bus()
metrics.Builds(bus)
bus.publish(BuildCompleted("", sys.argv[2]))
def hello(environ, start_response):
    environ["deploystack.kind"] = "page"
    start_response("404 Not Found", [])
    return []
counted = metrics.timed(hello)
metrics.count_lookups()
caches = Caches(settings.DATA_DIR / "caches", 1 << 20)
scope = CacheScope(project="octo/site", trusted=True)
with caches.borrow("modules", scope, "k"):
    pass
(settings.DATA_DIR / "entry").mkdir()
caches.put("modules", scope, "k", settings.DATA_DIR / "entry")
with caches.borrow("modules", scope, "k"):
    pass
caches.forget(scope)
for _ in range(3):
    counted({}, lambda *_: None)
if len(sys.argv) > 3:
    from bot.observe.scrape import exposition
    server = make_server("127.0.0.1", 0, exposition(settings))
    print(server.server_port, flush=True)
    server.serve_forever()
"""


@pytest.fixture
def ended_build(database: Database, settings: Settings) -> str:
    with database.write():
        project = connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        build_id = request_build(project, "a" * 40, "main", "push", "production").build_id
        request_build(project, "b" * 40, "topic", "push", "preview")
        Build.update(
            status="ready", framework="Vite", stages=json.dumps({"queue": 0.2, "build": 3.0}),
            started_at=now(), completed_at=now(),
        ).where(Build.id == build_id).execute()  # fmt: skip
    return build_id


def scrape(port: int, token: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_processes_are_counted_together_and_the_database_is_asked(
    settings: Settings, ended_build: str
) -> None:
    chores.take("retention", "a worker")
    figures = dict.fromkeys(("deployments", "bytes", "held", "budget"), 1)
    chores.complete("retention", "a worker", figures | {"over": 5, "bytes_total": 9})
    run = [sys.executable, "-c", PROCESS, str(settings.DATA_DIR), ended_build]
    subprocess.run(run, check=True, timeout=60)
    with subprocess.Popen([*run, "serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            with pytest.raises(urllib.error.HTTPError, match="401"):
                scrape(port, "guessed")
            text = scrape(port, "measured")
        finally:
            server.terminate()
    found = dict(re.findall(r"^(\S+?) (\S+)$", text, re.MULTILINE))
    assert found['deploystack_builds_total{status="ready"}'] == "2.0"
    assert found['deploystack_http_request_seconds_count{kind="page",status="4xx"}'] == "6.0"
    stage = 'deploystack_build_stage_seconds_sum{framework="Vite",stage="build"}'
    assert found[stage] == "6.0"
    assert found["deploystack_worker_busy_seconds_total"] == "6.0", "without waiting"
    for result in ("hit", "miss"):
        lookups = f'deploystack_cache_lookups_total{{cache="modules",result="{result}"}}'
        assert found[lookups] == "2.0"
    assert found['deploystack_queue_builds{priority="preview"}'] == "1.0"
    assert found['deploystack_queue_builds{priority="production"}'] == "0.0"
    assert float(found['deploystack_queue_oldest_seconds{priority="preview"}']) >= 0
    assert found["deploystack_workers"] == "0.0"
    assert found['deploystack_dead_letters{kind="build"}'] == "0.0"
    assert found['deploystack_projects{state="active"}'] == "1.0"
    assert found["deploystack_storage_over_budget_bytes"] == "5.0"
    assert found["deploystack_retention_failed"] == "0.0"
    assert found["deploystack_retention_freed_bytes_total"] == "9.0"
    assert "octo" not in text, "no project is a label"
    promtool = require_program("promtool")
    subprocess.run([promtool, "check", "metrics"], input=text, text=True, check=True, timeout=60)


def test_counts_of_processes_that_are_gone_are_dropped(settings: Settings) -> None:
    folder = settings.DATA_DIR / "metrics"
    folder.mkdir(parents=True)
    gone = subprocess.Popen(["true"])
    gone.wait()
    (folder / f"counter_{gone.pid}.db").touch()
    (folder / "counter_1.db").touch()
    forget_dead(settings)
    assert [path.name for path in folder.iterdir()] == ["counter_1.db"]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.0, 1.0), (1.0, 100.0)]
)
def test_percentiles_are_by_nearest_rank(share: float, expected: float) -> None:
    assert percentile(list(range(1, 101)), share) == expected
    assert percentile([], share) == 0.0
    assert percentile([7], share) == 7.0


def test_what_waits_is_measured(ended_build: str) -> None:
    (queue,) = measures.queues()
    assert (queue.priority, queue.waiting) == ("preview", 1)
    assert measures.running_builds() == 0
    assert measures.outbox().waiting == 0
    assert len(measures.queue_times(0)) == 1
    assert measures.answers()


def test_alert_rules_are_valid() -> None:
    promtool = require_program("promtool")
    subprocess.run([promtool, "check", "rules", str(DEPLOY / "alerts.yml")], check=True, timeout=60)


def test_rules_and_dashboard_name_only_metrics_that_there_are(
    make_settings: Callable[..., Settings],
) -> None:
    sources = "".join(
        (DEPLOY.parent / "bot" / "observe" / name).read_text()
        for name in ("metrics.py", "scrape.py")
    )
    defined = set(re.findall(r'"(?:deploystack_)?([a-z_]+)", "', sources)) | set(
        re.findall(r'"deploystack_([a-z_]+)",', sources)
    )
    used = set(
        re.findall(
            r"deploystack_([a-z_]+)",
            (DEPLOY / "alerts.yml").read_text() + (DEPLOY / "grafana.json").read_text(),
        )
    )
    assert len(used) > 8
    endings = ("_total", "_bucket", "_count", "_sum")
    for name in used:
        base = next((name.removesuffix(e) for e in endings if name.endswith(e)), name)
        assert base in defined, name
