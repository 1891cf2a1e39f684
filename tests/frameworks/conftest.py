"""Two bots that share what is kept between builds: previews by path, and by host."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import Bot, browser, start_bot

__all__ = ["browser", "start_bot"]


@pytest.fixture(scope="session")
def by_path(start_bot: Callable[..., Bot]) -> Bot:
    return start_bot(BUILD_TIMEOUT="900")


@pytest.fixture(scope="session")
def by_host(
    start_bot: Callable[..., Bot], by_path: Bot, tmp_path_factory: pytest.TempPathFactory
) -> Bot:
    data = tmp_path_factory.mktemp("by-host")
    for name in ("caches", "toolchains"):
        shared = by_path.settings.DATA_DIR / name
        shared.mkdir(exist_ok=True)
        (data / name).symlink_to(shared)
    return start_bot(data, PREVIEW_DOMAIN="localhost", BUILD_TIMEOUT="900")


@pytest.fixture(scope="session")
def record() -> Callable[..., None]:
    """Keeps a line for each framework in the file that FRAMEWORK_RESULTS names, if any."""
    path = os.environ.get("FRAMEWORK_RESULTS", "")

    def write(**facts: Any) -> None:
        if path:
            with Path(path).open("a") as file:
                file.write(json.dumps(facts) + "\n")

    return write
