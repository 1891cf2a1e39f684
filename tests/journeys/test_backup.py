"""A bot's data is lost; from its backup the same bytes are at the same addresses again."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import ROOT, Bot
from tests.servers import Postgres
from tests.storage.s3_server import S3Server

pytestmark = pytest.mark.journey


def command(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)} | settings,
        cwd=settings["DATA_DIR"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def done(settings: dict[str, str], *arguments: str) -> dict[str, Any]:
    run = command(settings, *arguments, "--json")
    assert run.returncode == 0, run.stderr + run.stdout
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def tell(bot: Bot, method: str, path: str, token: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{bot.url}/api/v1/{path}",
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def look(bot: Bot, paths: list[str]) -> dict[str, tuple[int, str | None, bytes]]:
    found = {path: bot.get(path) for path in paths}
    return {path: (a.status, a.headers.get("ETag"), a.body) for path, a in found.items()}


def test_the_same_bytes_are_at_the_same_addresses_after_a_restore(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    lost = {"DATA_DIR": str(tmp_path / "lost")}
    bot = start_bot(Path(lost["DATA_DIR"]))
    first = bot.push({"index.html": "<h1>first</h1>", "a/b.css": "p{}"}, tmp_path / "site")
    build = bot.ready(first)
    token = (tmp_path / "lost" / "admin-token").read_text().strip()
    project = tell(bot, "GET", "projects", token)["data"][0]["id"]
    variables = f"projects/{project}/variables"
    tell(bot, "PUT", f"{variables}/KEY", token, {"value": "sealed value", "secret": True})
    whole = done(lost, "backup", str(tmp_path / "backup"))
    assert (whole["deployments"], whole["missing"]) == (1, [])

    second = bot.push({"index.html": "<h1>second</h1>"}, tmp_path / "site")
    bot.ready(second)
    paths = [f"/{sha}/{name}" for sha in (first, second) for name in ("", "a/b.css", "none")]
    paths += ["/~/local-site/production/", f"/builds/{build['id']}/log"]
    before = look(bot, paths)
    again = done(lost, "backup", str(tmp_path / "backup"))
    assert again["deployments"] == 2
    assert again["size"] > again["new"] > 0, "the second time only what is new"
    bot.stop()

    found = {"DATA_DIR": str(tmp_path / "found")}
    Path(found["DATA_DIR"]).mkdir()
    assert done(found, "restore", str(tmp_path / "backup"))["deployments"] == 2
    restored = start_bot(Path(found["DATA_DIR"]))
    assert look(restored, paths) == before
    names = [variable["name"] for variable in tell(restored, "GET", variables, token)["data"]]
    assert names == ["KEY"]
    third = restored.push({"index.html": "<h1>third</h1>"}, tmp_path / "site")
    restored.ready(third)
    assert "third" in restored.get("/~/local-site/production/").text
    # Over a bot that has data of its own nothing is restored, and nothing of it is lost.
    refused = command(found, "restore", str(tmp_path / "backup"))
    assert refused.returncode == 1
    assert "[database-not-empty]" in refused.stderr
    assert "third" in restored.get(f"/{third}/").text
    restored.stop()


def test_a_fleet_is_restored_to_other_servers(
    start_bot: Callable[..., Bot],
    postgres: Postgres,
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    lost = {"DATA_DIR": str(tmp_path / "lost"), "DATABASE_URL": postgres.fresh_database()}
    lost |= s3_server.environ("lost")
    bot = start_bot(Path(lost["DATA_DIR"]), **lost)
    sha = bot.push({"index.html": "<h1>kept</h1>"}, tmp_path / "site")
    bot.ready(sha)
    before = look(bot, [f"/{sha}/", "/~/local-site/main/"])
    done(lost, "backup", str(tmp_path / "backup"))
    bot.stop()
    postgres.drop(lost["DATABASE_URL"])

    found = {"DATA_DIR": str(tmp_path / "found"), "DATABASE_URL": postgres.fresh_database()}
    found |= s3_server.environ("found")
    Path(found["DATA_DIR"]).mkdir()
    done(found, "restore", str(tmp_path / "backup"))
    restored = start_bot(Path(found["DATA_DIR"]), **found)
    assert look(restored, [f"/{sha}/", "/~/local-site/main/"]) == before
    refused = command(found, "restore", str(tmp_path / "backup"))
    assert "[database-not-empty]" in refused.stderr
    restored.stop()
    postgres.drop(found["DATABASE_URL"])


def test_half_a_backup_is_no_backup(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path / "data")}
    Path(settings["DATA_DIR"]).mkdir()
    (tmp_path / "backup" / "store").mkdir(parents=True)
    refused = command(settings, "restore", str(tmp_path / "backup"))
    assert refused.returncode == 1
    assert "[backup-incomplete]" in refused.stderr
    assert not (tmp_path / "data" / "deploystack.db").exists()
    nothing = command(settings, "backup", str(tmp_path / "other"))
    assert "[nothing-to-back-up]" in nothing.stderr
