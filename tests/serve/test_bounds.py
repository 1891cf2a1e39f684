"""Memory stays within its bounds, and cost does not grow with what is stored."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bot.events import Bus
from bot.models.database import Database, connect
from bot.models.projects import point_alias
from bot.models.resolve import Changes, Found, by_key
from bot.models.status import AliasKind, DeploymentStatus
from bot.models.tables import Deployment
from bot.serve import main
from bot.serve.bodies import LARGEST_BODY, Bodies
from bot.serve.resolve import Sites
from bot.serve.traffic import TrafficBook
from bot.settings import load
from bot.storage import disk_sweep
from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest
from tests.serve.conftest import SHA, Deployer, Host


def _found(number: int) -> Found:
    return Found(f"dpl-{number:026d}", f"{number:040x}", "o/s", "preview", "ready")


def test_contents_in_memory_are_bounded_and_the_oldest_go_first(store: DiskStore) -> None:
    bodies = Bodies(store, largest=10_000)
    kept = [store.put_bytes([bytes([n]) * 2000]) for n in range(8)]
    for digest, size in kept:
        assert bodies.get(digest, size) is not None
    assert bodies._used <= 10_000
    assert kept[-1][0] in bodies._kept
    assert kept[0][0] not in bodies._kept
    assert bodies.get(*kept[0]) == bytes(2000)  # read again


def test_large_contents_are_not_kept_in_memory(store: DiskStore) -> None:
    digest, size = store.put_bytes([b"x" * (LARGEST_BODY + 1)])
    assert Bodies(store, largest=1 << 30).get(digest, size) is None


def test_sites_in_memory_are_bounded_and_the_least_recently_used_go_first(
    store: DiskStore, database: Database
) -> None:
    sites = Sites(store, by_key, Changes().version, TrafficBook(Bus()), largest=4000 * 10)
    entry = Entry(*store.put_bytes([b"x"]), "text/plain")
    for number in range(30):
        found = _found(number)
        store.publish(Manifest(deployment=found.deployment_id, files={"a": entry}))
        for key in (found.sha, found.deployment_id):
            assert sites.load(key, found) is not None
        sites.ready(_found(0).sha)  # used all the time
    assert sites._used <= 40_000
    assert sites.ready(_found(29).sha) is not None
    assert sites.ready(_found(0).sha) is not None
    assert sites.ready(_found(1).sha) is None
    assert len(sites._by_id) == sites._used // 3000


def test_a_hundred_thousand_files_are_served_within_the_bound(
    deployer: Deployer, host: Host, store: DiskStore
) -> None:
    digest, size = store.put_bytes([b"content"])
    files = {
        f"pages/{n // 1000}/{n}.html": Entry(digest, size, "text/html") for n in range(100_000)
    }
    store.publish(Manifest(deployment=deployer.row(), files=files, base=f"/{SHA}/"))
    for number in (0, 5, 99_999):
        assert host.get(f"/{SHA}/pages/{number // 1000}/{number}").text == "content"
    assert host.get(f"/{SHA}/pages/0/none").status == 404


def test_many_threads_load_a_site_once(
    store: DiskStore, database: Database, tmp_path: Path
) -> None:
    found = _found(1)
    store.publish(Manifest(deployment=found.deployment_id, files={}))
    sites = Sites(store, by_key, Changes().version, TrafficBook(Bus()), largest=1 << 20)
    loaded = []
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        loaded.append(sites.load(found.sha, found))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(site) for site in loaded}) == 1


def test_the_threads_of_the_previews_process_take_little_memory_for_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    real = connect

    def connecting(*given: Any) -> Any:
        made = real(*given)
        taken.append(-made.execute_sql("PRAGMA cache_size").fetchone()[0] * 1024)
        made.close()
        return made

    monkeypatch.setattr("bot.models.database.connect", connecting)
    settings = load({"DATA_DIR": str(tmp_path / "data")}, None)
    main.create_application(settings)
    assert 0 < taken[0] * main._THREADS <= settings.PREVIEW_CACHE_SIZE


def test_requests_wait_for_no_publishing(
    deployer: Deployer, host: Host, database: Database, tmp_path: Path
) -> None:
    deployment_id = deployer.deploy({"index.html": "home"})
    point_alias(deployer.project().id, AliasKind.BRANCH, "main", deployment_id)
    writer = deployer.row("f" * 40, status=DeploymentStatus.PENDING)
    # As a worker does that publishes: the store's lock, and the database's with unfinished work.
    with disk_sweep.publishing(tmp_path / "artifacts"), database.write():
        Deployment.update(ref="held").where(Deployment.id == writer).execute()
        started = time.monotonic()
        for _ in range(2):  # from the store and the database, then from memory
            assert host.get(f"/{SHA}/").text == "home"
            assert host.get("/~/octo-site/main/").text == "home"
            assert host.get(f"/{SHA}/none").status == 404
        assert time.monotonic() - started < 5
