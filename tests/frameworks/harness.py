"""Builds a fixture by the running bot, and looks at its page as a visitor does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page

from tests.frameworks.cases import ASSETS, Case
from tests.journeys.conftest import Bot, Browser

_WAIT = 20_000  # ms
# What asks for an icon asks for it at the top of the host, whatever a site says.
# What was prefetched and not needed any more is given up by the page itself.
_NO_PROBLEM = re.compile(r"/favicon\.(?:ico|svg)|net::ERR_ABORTED$")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One build, served. `seconds` from fetching to publishing, without the queue."""

    sha: str
    url: str
    seconds: float
    log: str


def lay_out(case: Case, folder: Path) -> None:
    """The fixture with its font and picture, and a lockfile as its author would commit it."""
    shutil.copytree(case.folder, folder)
    for place in case.assets:
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in case.files:
            shutil.copy(ASSETS / name, folder / place)
    if (folder / "package.json").is_file():
        argv = ("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit")
        _run(argv, folder)
    if (folder / "Gemfile").is_file() and shutil.which("bundle"):
        _run(("bundle", "lock", "--local"), folder)


def _run(argv: tuple[str, ...], folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def version(case: Case, folder: Path, log: str) -> str:
    """What was built with: of the lockfile, of what pip said, or as the program says."""
    if case.version_of.startswith("program "):
        said = _run((case.version_of.removeprefix("program "), "--version"), folder)
        return said.split()[-1].removeprefix("v")
    if case.version_of.startswith("python "):
        name = case.version_of.removeprefix("python ")
        found = re.search(rf"(?i)\b{name}[-=]+([\d.]+\d)", log)
        return found[1] if found else ""
    lockfile = folder / "package-lock.json"
    if not case.version_of or not lockfile.is_file():
        return ""
    packages: Mapping[str, Any] = json.loads(lockfile.read_text())["packages"]
    return str(packages[f"node_modules/{case.version_of}"]["version"])


def build(case: Case, bot: Bot, folder: Path, change: str) -> Outcome:
    """Commit what `folder` holds (with a `change`), push it, and wait until it is live."""
    sha = bot.push({"CHANGE.md": change}, folder, case.name)
    found = bot.ready(sha, seconds=900)
    log = bot.get(f"/builds/{found['id']}/log").text
    assert found["framework"] == case.framework, log
    stages = {name: seconds for name, seconds in found["stages"].items() if name != "queue"}
    return Outcome(
        sha=sha, url=bot.settings.deployment_url(sha), seconds=sum(stages.values()), log=log
    )


def look(case: Case, browser: Browser, url: str) -> None:
    """A visit: fonts, pictures, chunks, the second page, and a reload there; no problem at all."""
    chromium = browser.page.context.browser
    assert chromium is not None
    page = chromium.new_page()
    loaded: list[str] = []
    problems: list[str] = []
    page.on("response", lambda response: loaded.append(response.url))
    page.on("console", lambda m: m.type == "error" and problems.append(_said(m)))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda r: problems.append(f"{r.url}: {r.failure}"))
    page.goto(url, wait_until="networkidle")
    if case.name == "storybook":
        page.frame_locator("#storybook-preview-iframe").get_by_text("Home page").wait_for()
    else:
        _shows(page, "Home page")
    assert _ended(loaded, "woff2"), f"no font was asked for: {loaded}"
    assert _ended(loaded, "png"), f"no picture was asked for: {loaded}"
    if case.lazy:
        page.wait_for_function("document.documentElement.dataset.lazy === 'yes'", timeout=_WAIT)
    if case.deep:
        page.locator("a", has_text=re.compile("^Deep$")).first.click()
        _shows(page, "Deep page")
        page.wait_for_load_state("networkidle")
        page.reload(wait_until="networkidle")
        _shows(page, "Deep page")
    page.close()
    problems = [problem for problem in problems if not _NO_PROBLEM.search(problem)]
    assert not problems, problems


def _said(message: ConsoleMessage) -> str:
    """Every answer of 400 and more is among it, with the address."""
    return f"{message.location.get('url')}: {message.text}"


def _shows(page: Page, text: str) -> None:
    page.locator("h1:visible", has_text=text).first.wait_for(timeout=_WAIT)


def _ended(urls: list[str], suffix: str) -> bool:
    return any(re.search(rf"\.{suffix}(?:\?|$)", url) for url in urls)
