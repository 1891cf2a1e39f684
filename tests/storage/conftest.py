from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.storage.disk import DiskStore
from bot.storage.s3 import S3Store
from bot.storage.store import Store
from tests.storage.s3_server import S3Server

_numbers = itertools.count()


@pytest.fixture
def new_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a bucket and answers its STORAGE_URL, by way of another endpoint if one is given."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    # Nobody's own configuration, and no question to a cloud's metadata server.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")

    def make(endpoint: str = "") -> str:
        return s3_server.bucket(f"bucket-{next(_numbers)}", endpoint)

    return make


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every implementation of the contract."""
    if request.param == "disk":
        return DiskStore(tmp_path / "artifacts")
    url = request.getfixturevalue("new_bucket")()
    return S3Store(url, tmp_path / "cache", 1 << 30)


@pytest.fixture
def second(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    """The same store, as another process on another machine has it."""
    if isinstance(store, S3Store):
        location = store._bucket._location
        url = f"s3://{location.bucket}/{location.prefix}?endpoint={location.endpoint}&region=x"
        return S3Store(url, tmp_path / "other-cache", 1 << 30)
    return DiskStore(tmp_path / "artifacts")
