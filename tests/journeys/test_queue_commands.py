"""`deploystack queue`, `dead` and `projects limit`, as somebody runs them against a real bot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.conftest import Bot
from tests.journeys.test_command_line import runner, told

pytestmark = pytest.mark.journey


def test_the_queue_its_limits_and_what_was_received_are_looked_after(
    bot: Bot, tmp_path: Path
) -> None:
    run = runner(tmp_path)
    here = ("--server", bot.url)
    sha = bot.push({"index.html": "queued"}, tmp_path / "site", name="limited")
    bot.ready(sha)
    found = told(run("queue", *here, "--json"))
    assert found["waited"]["builds"] >= 1
    assert (found["workers"], found["slots"]) == (1, 2)
    assert "workers: 1, with 2 slots" in run("queue", *here).stdout

    project = "_local/limited"
    assert "at a time: 2." in run("projects", "limit", project, "2", *here).stdout
    shown = run("projects", "show", project, *here).stdout
    assert ["Builds", "at", "a", "time", "2"] in [line.split() for line in shown.splitlines()]
    run("projects", "limit", project, "many", *here, code=2)
    assert (
        told(run("projects", "limit", project, "default", *here, "--json"))["concurrency"] is None
    )

    assert "Nothing was given up." in run("dead", "list", *here).stdout
    received = told(run("dead", "deliveries", *here, "--json", "--limit", "1"))
    (delivery,) = received
    assert (delivery["event"], delivery["outcome"]) == ("push", "accepted")
    again = run("dead", "replay", delivery["guid"], *here).stdout
    assert again == f"{delivery['guid']}: accepted: this commit is live already\n"
    run("dead", "replay", "00000000-none", *here, code=6)
