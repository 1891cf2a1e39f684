"""The previews process beside the web process: both know what has just happened."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.local import push, supervisor
from tests.journeys.conftest import Bot, free_port, wait_for

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def bot(start_bot: Callable[..., Bot]) -> Bot:
    """A bot whose previews have a port, and so a process, of their own."""
    return start_bot(PREVIEW_PORT=str(free_port()))


@pytest.fixture(scope="module")
def previews(bot: Bot) -> Bot:
    own = replace(bot, settings=replace(bot.settings, PORT=bot.settings.PREVIEW_PORT))
    wait_for(lambda: supervisor.is_running(own.settings), "the previews process")
    return own


def test_a_commit_that_is_visited_there_is_built_at_once(
    bot: Bot, previews: Bot, tmp_path: Path
) -> None:
    folder = tmp_path / "visited"
    bot.ready(bot.push({"index.html": "pushed"}, folder, "visited"))
    (folder / "index.html").write_text("visited")
    # It is in the repository, and nobody was told.
    with push.commit_folder(folder, "Never built") as source:
        sha = push.push(source, "HEAD", bot.settings, "visited", "main").after
    with sqlite3.connect(bot.settings.DATA_DIR / "deploystack.db") as database:
        database.execute("UPDATE projects SET build_on_visit = 1 WHERE name = '_local/visited'")
    database.close()
    states: list[str | None] = []

    def page() -> str:
        answer = previews.get(f"/{sha}/", Accept="text/html")
        states.append(answer.headers["X-Build-Status"])
        return answer.text if answer.status == 200 else ""

    # Far less than the minute after which the worker looks after everything.
    assert wait_for(page, "the visited commit's page", 20) == "visited"
    assert states[0] == "looking for the commit"
    assert bot.get(f"/{sha}/").text == "visited"


def test_a_page_that_waits_there_turns_into_the_site_when_it_does_on_the_web_process(
    bot: Bot, previews: Bot, tmp_path: Path
) -> None:
    script = (
        "const fs = require('fs'); setTimeout(() => { fs.mkdirSync('dist');"
        "fs.writeFileSync('dist/index.html', 'turned'); }, 1000);"
    )
    package = '{"name": "turning", "scripts": {"build": "node build.js"}}'
    sha = bot.push({"package.json": package, "build.js": script}, tmp_path / "turning", "turning")
    states: dict[str, list[str | None]] = {"web": [], "previews": []}
    live: dict[str, float] = {}

    def both_are_live() -> bool:
        for name, asked in (("web", bot), ("previews", previews)):
            answer = asked.get(f"/{sha}/", Accept="text/html")
            states[name].append(answer.headers["X-Build-Status"])
            if answer.status == 200:
                assert answer.text == "turned"
                live.setdefault(name, time.monotonic())
        return len(live) == 2

    wait_for(both_are_live, "the site on both processes")
    assert abs(live["web"] - live["previews"]) < 1
    assert all("building" in seen for seen in states.values())
