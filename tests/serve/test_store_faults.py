"""What visitors get while the store cannot be read: never that something is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.cache import MemoryCache
from bot.models import access
from bot.models.access import AccessKind
from bot.models.database import Database
from bot.serve import resolve
from bot.storage.s3 import S3Store
from tests.serve.conftest import SHA, Deployer, Host
from tests.storage.s3_server import FaultyProxy, S3Server

BASE = f"/{SHA}/"


@pytest.fixture
def store(
    s3_server: S3Server,
    s3_proxy: FaultyProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> S3Store:
    """Takes the place of the store on a disk. It gives up at once."""
    monkeypatch.setattr("bot.storage.bucket._ATTEMPTS", 1)
    name = f"faulty-{tmp_path.name.replace('_', '-')}"[:60].rstrip("-")
    for setting, value in s3_server.environ(name).items():
        monkeypatch.setenv(setting, value)
    url = s3_server.bucket(name, s3_proxy.url)
    # Nothing is kept: what is tried here is the bucket's own faults.
    return S3Store(url, tmp_path / "cache", 100 << 20, MemoryCache(room=0))


def test_what_cannot_be_read_is_unavailable_and_not_missing(
    deployer: Deployer, make_host: Callable[..., Host], s3_proxy: FaultyProxy, store: S3Store
) -> None:
    deployer.deploy({"index.html": "<h1>home</h1>", "large.bin": b"x" * 9_000_000})
    host = make_host()
    s3_proxy.share = 1
    answer = host.visit(BASE)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert "Try again" in answer.text
    s3_proxy.share = 0
    assert host.visit(BASE).text == "<h1>home</h1>"
    s3_proxy.share = 1
    assert host.visit(BASE).text == "<h1>home</h1>"  # from memory
    assert host.get(f"{BASE}none.txt").status == 404  # which the manifest says


def test_a_content_that_the_store_has_lost_is_unavailable(
    deployer: Deployer, host: Host, store: S3Store
) -> None:
    deployer.deploy({"index.html": "<h1>home</h1>"})
    with store.sweeping() as remove:
        remove(list(store.contents()))
    for path in (store._cache._folder).glob("??/*"):
        path.unlink()
    assert host.get(BASE).status == 503


def test_a_site_that_was_protected_meanwhile_is_not_shown_as_it_was(
    deployer: Deployer,
    host: Host,
    s3_proxy: FaultyProxy,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolve, "_RECHECK", 0.0)
    deployer.deploy({"index.html": "<h1>home</h1>"})
    assert host.get(BASE).status == 200
    s3_proxy.share = 1
    with database.write():
        access.protect(deployer.project().id, AccessKind.PASSWORD, "secret")
    assert host.get(BASE).status == 503
    assert host.get(BASE).status == 503
    s3_proxy.share = 0
    assert host.get(BASE).status == 401
