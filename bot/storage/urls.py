"""The store that a setting names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from bot.cache import open_cache
from bot.errors import InvalidSetting
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.store import Store


def open_store(settings: Settings) -> Store:
    """`file:///path` or `s3://bucket/prefix?endpoint=…`; raises `InvalidSetting`."""
    parts = urlsplit(settings.STORAGE_URL)
    if parts.scheme == "file":
        return DiskStore(Path(parts.path))
    if parts.scheme == "s3":
        # Its library is loaded only where it is used.
        from bot.storage.s3 import S3Store

        cache = settings.DATA_DIR / "store-cache"
        manifests = open_cache(settings.CACHE_URL)
        return S3Store(settings.STORAGE_URL, cache, settings.STORAGE_CACHE_SIZE, manifests)
    raise InvalidSetting(
        "STORAGE_URL",
        f"cannot use {parts.scheme!r}",
        "Use file:///path or s3://bucket/prefix?endpoint=https://host&region=name.",
    )
