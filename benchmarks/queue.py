"""What a claim costs with few and with many waiting builds, and how fast a queue drains.

    python -m benchmarks.queue [postgresql://user@host/empty-database]

Builds are claimed and ended by the rules of `bot.models.queue`, by one thread, without
being built: half of them one project's, half twenty others'; no project has more than two
running, and eight run at a time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import deque

from bot.models import builds, foresight, measures, projects, queue, sql, workers
from bot.models.database import connect
from bot.models.ids import now
from bot.models.status import BuildStatus

_PROJECTS = 21
_SLOTS = 8
_LIMIT = 2
_PART = 2000
_DEPLOY = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO deployments (id, project_id, sha, ref, source, environment, trusted, status,
    fingerprint, tools, created_at, updated_at)
SELECT 'dpl-' || n.i, p.id, 'sha-' || n.i, 'main', 'push', 'preview', TRUE, 'pending', '', '',
    n.i, n.i
FROM n JOIN projects p ON p.id = CASE WHEN n.i % 2 = 1 THEN 1 ELSE 2 + (n.i / 2) % 20 END
"""
_QUEUE = """
INSERT INTO builds (id, deployment_id, status, logs, framework, stages, error_code, error_message,
    attempts, worker, delivery, lease_until, created_at, due_at, project_id, priority)
SELECT 'bld-' || id, id, 'queued', '', '', '{}', '', '', 0, '', '', 0, created_at, created_at,
    project_id, 1 FROM deployments WHERE id NOT IN (SELECT deployment_id FROM builds)
"""


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{tempfile.mkdtemp()}/queue.db"
    database = connect(url)
    with database.write():
        for number in range(_PROJECTS):
            projects.connect_project(
                f"octo/p{number}", production_branch="main", private=False, installation_id=None
            )
        workers.renew("wrk-1", "here", _SLOTS)
        sql.execute(_DEPLOY, 10_000 - 1)
        sql.execute(_QUEUE)
    database.execute_sql("ANALYZE")
    started = time.perf_counter()
    foresight.waiting(_LIMIT)
    print(f"10,000 waiting: played through in {(time.perf_counter() - started) * 1000:.0f} ms")
    running: deque[str] = deque()
    times: list[float] = []
    began = time.perf_counter()
    while True:
        started = time.perf_counter()
        candidate = queue.next_build(_LIMIT, now())
        if candidate is not None and len(running) < _SLOTS:
            with database.write(durable=False):
                assert builds.claim(candidate.build_id, "wrk-1:x", "", candidate.limit)
                queue.had_turn(candidate)
            times.append(time.perf_counter() - started)
            running.append(candidate.build_id)
            if len(times) == _PART:
                left = measures.queues()
                waiting = left[0].waiting if left else 0
                print(f"{waiting:6} left: a claim takes {statistics.median(times) * 1000:.2f} ms")
                times.clear()
        elif running:
            with database.write(durable=False):
                builds.fail(running.popleft(), "wrk-1:x", BuildStatus.FAILED, "x", "x", {})
        else:
            break
    print(f"all 10,000 taken up and ended in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
