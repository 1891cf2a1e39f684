"""The store that a URL names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from bot.errors import InvalidSetting
from bot.storage.disk import DiskStore
from bot.storage.store import Store


def open_store(url: str) -> Store:
    """`file:///path`; raises `InvalidSetting` for what this version does not speak."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise InvalidSetting("STORAGE_URL", f"cannot use {parts.scheme!r}", "Use file:///path.")
    return DiskStore(Path(parts.path))
