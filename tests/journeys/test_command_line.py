"""A person at a terminal, and a script in CI: `deploystack` as they run it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import ROOT, Bot
from tests.programs import require_program
from tests.uploads.archives import zip_of

pytestmark = pytest.mark.journey
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(bot: Bot, tmp_path: Path) -> Run:
    return runner(tmp_path)


def runner(home: Path) -> Run:
    """Runs `deploystack` with a home of its own; `code` is how it must end."""

    def run(
        *arguments: str, code: int = 0, given: str = "", folder: Path = home, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            (sys.executable, "-m", "bot", *arguments),
            input=given,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
            | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, f"{ended.stdout}\n{ended.stderr}"
        assert "\x1b" not in ended.stdout + ended.stderr
        return ended

    return run


def told(ended: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(ended.stdout)


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_a_site_from_login_to_delete(bot: Bot, run: Run, tmp_path: Path) -> None:
    token = told(
        run("tokens", "create", "laptop", "--scope", "admin", "--server", bot.url, "--json")
    )
    run("login", bot.url, given=f"{token['token']}\n")
    kept = tmp_path / ".config/deploystack/servers.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert told(run("whoami", "--json"))["scope"] == "admin"

    site = tmp_path / "My Site"
    site.mkdir()
    (site / "index.html").write_text("first")
    for number in range(40):
        (site / f"{number}.txt").write_text(str(number))
    assert "linked to my-site" in run("init", folder=site).stdout
    assert "Plain HTML" in (site / "deploystack.toml").read_text()
    run("check", folder=site)

    first = run("deploy", folder=site).stdout.strip()
    assert page(first) == "first"
    for name in ("index.html", "1.txt", "2.txt"):
        (site / name).write_text("second")
    second = told(run("deploy", "--prod", "--json", folder=site))
    assert (page(second["url"]), page(first)) == ("second", "first")
    assert second["project"] == "my-site"

    listed = told(run("list", "--json", folder=site))
    assert [row["url"] for row in listed] == [second["url"], first]
    assert second["deployment_id"] in run("list", folder=site).stdout
    shown = told(run("inspect", first, "--json", folder=site))
    assert (shown["status"], len(shown["builds"])) == ("ready", 1)
    assert "Plain HTML" in run("inspect", folder=site).stdout

    run("promote", shown["id"], folder=site)
    assert "production" in told(run("inspect", first, "--json", folder=site))["aliases"][0]
    run("promote", second["deployment_id"], folder=site)
    assert told(run("rollback", "--json", folder=site))["id"] == shown["id"]

    assert "Live at" in run("logs", folder=site).stdout
    assert "Live at" in run("logs", "-f", second["build_id"]).stdout
    assert "[conflict]" in run("retry", folder=site, code=1).stderr

    run("delete", second["deployment_id"], "--yes")
    assert "[conflict]" in run("delete", shown["id"], "--yes", code=1).stderr
    run("projects", "delete", "my-site", "--yes")
    run("tokens", "revoke", token["id"])
    assert told(run("whoami", "--json", code=5))["error"]["code"] == "unauthorized"
    run("logout", bot.url)
    assert token["token"] not in kept.read_text()


def test_what_is_to_be_built_is_followed_to_its_end(bot: Bot, run: Run, tmp_path: Path) -> None:
    require_program("npm")
    script = "mkdir -p dist && echo building && cp page.html dist/index.html"
    package = json.dumps({"name": "app", "scripts": {"build": script}})
    files = {"package.json": package.encode(), "page.html": b"built"}
    files["deploystack.toml"] = b'[build]\noutput = "dist"\n'
    archive = tmp_path / "app.zip"
    archive.write_bytes(zip_of(files))
    ended = run("deploy", str(archive), DEPLOYSTACK_URL=bot.url)
    assert page(ended.stdout.strip()) == "built"
    assert "building" in ended.stderr

    folder = tmp_path / "broken"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content.replace(b"page.html dist", b"none dist"))
    failed = run("deploy", str(folder), "--json", code=4, DEPLOYSTACK_URL=bot.url)
    assert told(failed)["error"]["code"] == "build-not-ready"
    run("retry", "--project", "broken", code=4, DEPLOYSTACK_URL=bot.url)
    queued = told(run("deploy", str(folder), "--no-wait", "--json", DEPLOYSTACK_URL=bot.url))
    assert queued["status"] == "queued"
    run("logs", "-f", queued["build_id"], code=4, DEPLOYSTACK_URL=bot.url)
    run("cancel", queued["build_id"], code=1, DEPLOYSTACK_URL=bot.url)


def test_variables_go_in_by_standard_input_and_never_come_out(bot: Bot, run: Run) -> None:
    here = {"DEPLOYSTACK_URL": bot.url, "DEPLOYSTACK_PROJECT": "with-variables"}
    run("projects", "create", "with-variables", **here)
    run("env", "set", "API_KEY", given="hunter2\n", **here)
    run("env", "set", "VITE_NAME", "--value", "x", "--context", "preview", **here)
    listed = run("env", "list", **here).stdout
    assert "hunter2" not in listed
    kinds = {row["name"]: row["secret"] for row in told(run("env", "list", "--json", **here))}
    assert kinds == {"API_KEY": True, "VITE_NAME": False}
    run("env", "remove", "API_KEY", **here)
    run("env", "remove", "API_KEY", code=6, **here)


def test_domains_users_and_projects_are_looked_after(bot: Bot, run: Run) -> None:
    here = {"DEPLOYSTACK_URL": bot.url, "DEPLOYSTACK_PROJECT": "with-domain"}
    run("projects", "create", "with-domain", **here)
    added = run("domains", "add", "www.example.org", **here).stdout
    assert "TXT" in added
    assert told(run("domains", "list", "--json", **here))[0]["name"] == "www.example.org"
    run("domains", "remove", "www.example.org", **here)
    run("users", "create", "mona", **here)
    assert "mona is admin" in run("users", "change", "mona", "admin", **here).stdout
    run("users", "remove", "mona", "--yes", **here)
    assert "mona" not in run("users", "list", **here).stdout
    assert "with-domain" in run("projects", "list", **here).stdout
    assert "main" in run("projects", "show", **here).stdout


def test_how_long_things_are_kept_is_said_and_what_would_go_is_listed(
    bot: Bot, run: Run, tmp_path: Path
) -> None:
    here = {"DEPLOYSTACK_URL": bot.url, "DEPLOYSTACK_PROJECT": "kept"}
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "index.html").write_text("kept")
    made = told(run("deploy", str(folder), "--json", **here))["deployment_id"]
    run("retention", "--idle-days", "1", "--failed-days", "0", **here)
    changed = told(run("retention", "--production-kept", "2", "--json", **here))
    assert (changed["idle_days"], changed["failed_days"], changed["production_kept"]) == (1, 0, 2)
    shown = run("retention", **here).stdout
    assert "1 day (own)" in shown
    assert "for ever (own)" in shown
    assert "goes within a day" in run("inspect", made, **here).stdout
    assert "production leads to it" not in run("inspect", made, **here).stdout
    assert told(run("gc", "--dry-run", "--json", **here))["dry_run"] is True
    assert "Would free" in run("gc", "--dry-run", **here).stdout
    assert "Freed" in run("gc", **here).stdout
    reset = told(run("retention", "--default", "--json", **here))
    assert set(reset["own"].values()) == {None}
    run("retention", "--idle-days", "-1", code=2, **here)


def test_a_host_that_is_not_there_is_a_fault_and_a_wrong_token_is_not(bot: Bot, run: Run) -> None:
    assert "[unreachable]" in run("list", "--server", "http://127.0.0.1:9", code=3).stderr
    run("list", DEPLOYSTACK_URL=bot.url, DEPLOYSTACK_TOKEN="dst_wrong", code=5)
    run("login", bot.url, code=5, DEPLOYSTACK_TOKEN="dst_wrong")
    run("inspect", "dpl-none", code=6, DEPLOYSTACK_URL=bot.url)
    run("deploy", "nothing-there", code=1, DEPLOYSTACK_URL=bot.url)
    run("deploy", "--no-such-option", code=2)
