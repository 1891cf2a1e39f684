"""The first request for a deployment on a machine that has never served it.

    python -m benchmarks.first_request

PostgreSQL, Redis and an S3 server on this machine; the bucket answers at once, or after
20 ms as a real one does. In one process, so that nothing but the request itself is told:
medians of 15 machines, each with an empty disk and memory, with CACHE_URL and without.
Another machine has served the deployment before.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.programs import table
from bot.announcements import announce_changes
from bot.cache import RedisCache
from bot.events import Bus
from bot.models import builds, deployments, projects, resolve
from bot.models.database import Database, connect
from bot.serve.application import Previews
from bot.serve.lookups import SharedLookups
from bot.settings import Settings, load
from bot.storage.manifest import Entry, Manifest
from bot.storage.store import Store
from bot.storage.urls import open_store
from tests.servers import Redis, start_postgres, start_redis
from tests.storage.s3_server import FaultyProxy, S3Server

MACHINES = 15
SIZES = (10, 2000)  # files of a deployment


def settings_of(folder: Path, shared: dict[str, str], cache_url: str) -> Settings:
    return load({**shared, "DATA_DIR": str(folder), "CACHE_URL": cache_url}, None)


def publish(database: Database, store: Store, sha: str, files: int) -> None:
    """A deployment as a worker makes it, of files of 2 KB."""
    with database.write():
        project = projects.connect_project(
            f"octo/site-{files}", production_branch="main", private=False, installation_id=None
        )
        requested = deployments.request_build(project, sha, "main", "push", "production")
        assert builds.claim(requested.build_id, "worker")
    with store.batch():
        digest, size = store.put_bytes([b"<h1>home</h1>" * 150])
        entries = {
            f"page-{number}/index.html": Entry(*store.put_bytes([b"%d" % number]), "text/html")
            for number in range(files - 1)
        }
    entries["index.html"] = Entry(digest, size, "text/html; charset=utf-8")
    manifest = Manifest(
        deployment=requested.deployment_id, files=entries, base=f"/{sha}/", compressed=True
    )
    store.publish(manifest)
    with database.write():
        assert builds.succeed(requested.build_id, "worker", {}, [])


def ask(previews: Previews, sha: str) -> float:
    """Milliseconds of one request."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{sha}/", "HTTP_HOST": "localhost"}
    began = time.perf_counter()
    status: list[str] = []
    answer = previews(environ, lambda line, *_: status.append(line))
    b"".join(answer)
    assert status[0].startswith("200"), status
    return (time.perf_counter() - began) * 1000


def machines(shared: dict[str, str], cache_url: str, sha: str) -> Iterator[tuple[float, float]]:
    """The first and the second request of each."""
    for _ in range(MACHINES):
        with tempfile.TemporaryDirectory() as folder:
            settings = settings_of(Path(folder), shared, cache_url)
            store = open_store(settings)
            store.size("0" * 64)  # its connection, which every machine has
            previews = Previews(store, settings, Bus(), lambda *_: [])
            yield ask(previews, sha), ask(previews, sha)
            previews.traffic.write()


def lookups(redis: Redis, sha: str) -> tuple[float, float]:
    """Milliseconds of one look into PostgreSQL, and of one into Redis instead."""
    shared = SharedLookups(resolve.by_key, RedisCache(redis.url(1)))
    shared(sha)
    found = []
    for ask_ in (resolve.by_key, shared):
        times = []
        for _ in range(300):
            began = time.perf_counter()
            ask_(sha)
            times.append((time.perf_counter() - began) * 1000)
        found.append(statistics.median(times))
    return found[0], found[1]


def main() -> None:
    os.environ["PYTHONWARNINGS"] = "ignore"
    postgres, redis, s3 = start_postgres(), start_redis(), S3Server()
    proxy = FaultyProxy(s3.port, 0.0)
    environ = s3.environ("bench")
    os.environ.update({k: v for k, v in environ.items() if k.startswith("AWS_")})
    shared = {
        "DATABASE_URL": postgres.fresh_database(),
        "STORAGE_URL": f"s3://bench/kept?endpoint={proxy.url}&region=us-east-1",
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        worker = settings_of(Path(folder), shared, redis.url(1))
        database = connect(shared["DATABASE_URL"])
        announce_changes(worker, database)
        store = open_store(worker)
        for files in SIZES:
            sha = f"{files:040x}"
            publish(database, store, sha, files)
            for delay in (0.0, 0.02):
                proxy.slow = delay
                for name, cache_url in (("without", ""), ("Redis", redis.url(1))):
                    first, second = zip(*machines(shared, cache_url, sha), strict=True)
                    times = (statistics.median(first), max(first), statistics.median(second))
                    rows.append((files, f"{delay * 1000:.0f} ms", name, *times))
            proxy.slow = 0.0
        of_database, of_redis = lookups(redis, f"{SIZES[0]:040x}")
    head = ("files", "bucket", "CACHE_URL", "first, ms", "slowest", "second, ms")
    table(head, [[*row[:3], *(f"{ms:.2f}" for ms in row[3:])] for row in rows])
    print(f"\nOne look: {of_database:.2f} ms PostgreSQL, {of_redis:.2f} ms Redis")
    database.close()
    proxy.stop()
    s3.stop()
    redis.close()
    postgres.close()


if __name__ == "__main__":
    main()
