"""What a real bot signs of a push, of its reuse, and of an upload, verified by the command."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import ROOT, Bot
from tests.programs import require_program

pytestmark = pytest.mark.journey


@pytest.fixture
def verify(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(url: str, *options: str, code: int = 0) -> dict[str, Any]:
        ended = subprocess.run(
            (sys.executable, "-m", "bot", "verify", url, "--json", *options),
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    return run


def definition(told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = told["statement"]["predicate"]["buildDefinition"]
    return found


def run_details(told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = told["statement"]["predicate"]["runDetails"]
    return found


def test_a_push_is_signed_with_all_that_went_into_it(
    bot: Bot, tmp_path: Path, verify: Callable[..., dict[str, Any]]
) -> None:
    require_program("npm")
    package = json.dumps({"name": "signed", "scripts": {"build": "node make.mjs"}})
    script = 'import fs from "node:fs"; fs.mkdirSync("dist", {recursive: true});'
    script += 'fs.writeFileSync("dist/index.html", "<p>signed");'
    configuration = '[context.production.environment]\nNAMED = "the value"\n'
    folder = tmp_path / "signed"
    files = {"package.json": package, "make.mjs": script, "deploystack.toml": configuration}
    sha = bot.push(files, folder, "signed")
    build = bot.ready(sha)
    told = verify(f"{bot.url}/{sha}/", "--files")
    assert told["files"] == {"compared": 1, "unserved": 0}
    made, run = definition(told), run_details(told)
    assert made["externalParameters"]["commit"] == sha
    assert made["externalParameters"]["ref"] == "main"
    tree = subprocess.run(
        ("git", "-C", bot.settings.clone_url("_local/signed"), "rev-parse", f"{sha}^{{tree}}"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (source,) = (one for one in made["resolvedDependencies"] if one["name"] == "source")
    assert source == {"name": "source", "digest": {"gitCommit": sha, "gitTree": tree}}
    plan = made["internalParameters"]["plan"]
    assert [step["command"] for step in plan["steps"]][-1][:3] == ["npm", "run", "build"]
    assert "NAMED" in plan["variables"]
    assert "node" in made["internalParameters"]["tools"]
    assert "the value" not in json.dumps(told)
    log = bot.get(f"/builds/{build['id']}/log").body
    (logged,) = (one for one in run["byproducts"] if one["name"] == "log")
    assert logged["digest"]["sha256"] == hashlib.sha256(log).hexdigest()
    assert {"fetch", "install", "build", "publish"} <= set(run["deploystack_stages"])
    assert run["deploystack_reused"] == ""


def test_an_upload_is_signed_with_its_own_digest(
    bot: Bot, verify: Callable[..., dict[str, Any]]
) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("index.html", "zipped")
    request = urllib.request.Request(
        f"{bot.url}/deploy",
        data=content.getvalue(),
        headers={"Content-Type": "application/zip"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        deployed = json.load(answer)
    told = verify(deployed["url"], "--files")
    assert told["deployment"] == deployed["deployment_id"]
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    source = {"name": "source", "digest": {"sha256": digest}}
    assert definition(told)["resolvedDependencies"] == [source]


def test_what_somebody_wrote_into_the_database_is_not_believed(
    bot: Bot, tmp_path: Path, verify: Callable[..., dict[str, Any]]
) -> None:
    shas = []
    for text in "ab":
        shas.append(bot.push({"index.html": text}, tmp_path / "swapped", "swapped"))
        bot.ready(shas[-1])  # or the second push would supersede it
    path = bot.settings.DATABASE_URL.removeprefix("sqlite:///")
    with sqlite3.connect(path, timeout=10) as database:
        first, second = (f"(SELECT id FROM deployments WHERE sha = '{sha}')" for sha in shas)
        database.execute(
            "UPDATE provenance SET envelope = "
            f"(SELECT envelope FROM provenance WHERE deployment_id = {second}) "
            f"WHERE deployment_id = {first}"
        )
    told = verify(f"{bot.url}/{shas[0]}/", code=1)
    assert told["error"]["code"] == "provenance-mismatch"
    assert verify(f"{bot.url}/{shas[1]}/")["verified"]
