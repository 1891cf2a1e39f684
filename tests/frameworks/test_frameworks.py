"""Each framework, built for real from the registry and seen in a browser.

All of them by `make test-frameworks`, by path and at their own hosts; the fast ones, by
path alone, in every run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.builders.frameworks import GENERATORS, NODE_FRAMEWORKS
from tests.frameworks import harness
from tests.frameworks.cases import CASES, Case
from tests.journeys.conftest import Bot, Browser
from tests.programs import require_program


def _ids(case: Case) -> str:
    return case.name


def _refused(case: Case, bot: Bot, folder: Path) -> None:
    """Where the machine has no such program, the failure says so."""
    sha = bot.push({"CHANGE.md": "one"}, folder, case.name)
    build = bot.ended(sha)
    assert build["error_code"] == "program-missing"
    assert f"this host has no `{case.missing}`" in build["error_message"]


def _unreachable(case: Case, bot: Bot, folder: Path) -> bool:
    """Whether a build fails since it cannot reach its host, and says so."""
    sha = bot.push({"CHANGE.md": "zero"}, folder, case.name)
    build = bot.ended(sha, seconds=900)
    if build["status"] == "ready":
        return False
    log = bot.get(f"/builds/{build['id']}/log").text
    assert f"cannot be reached from here ({case.host})" in log, log
    return True


@pytest.mark.journey
@pytest.mark.parametrize("case", [case for case in CASES if case.fast], ids=_ids)
def test_a_fast_framework_works_under_its_sha(
    case: Case, by_path: Bot, browser: Browser, tmp_path: Path
) -> None:
    require_program("npm")
    folder = tmp_path / case.name
    harness.lay_out(case, folder)
    built = harness.build(case, by_path, folder, "fast")
    harness.look(case, browser, built.url)


@pytest.mark.frameworks
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_a_framework_works_by_path_and_at_its_own_host(
    case: Case,
    by_path: Bot,
    by_host: Bot,
    browser: Browser,
    tmp_path: Path,
    record: Callable[..., None],
) -> None:
    require_program("npm")
    folder = tmp_path / case.name
    harness.lay_out(case, folder)
    if case.missing and not shutil.which(case.missing):
        _refused(case, by_path, folder)
        record(name=case.name, framework=case.framework, missing=case.missing)
        return
    if case.host and _unreachable(case, by_path, folder):
        record(name=case.name, framework=case.framework, unreachable=case.host)
        return
    cold = harness.build(case, by_path, folder, "cold")
    warm = harness.build(case, by_host, folder, "warm")
    harness.look(case, browser, cold.url)
    harness.look(case, browser, warm.url)
    record(
        name=case.name,
        framework=case.framework,
        version=harness.version(case, folder, cold.log),
        cold=round(cold.seconds, 1),
        warm=round(warm.seconds, 1),
        log=[line for line in cold.log.splitlines() if "Base path" in line or "Warning" in line],
    )


def test_every_framework_has_a_fixture() -> None:
    built = {case.framework for case in CASES}
    assert {row.name for row in (*NODE_FRAMEWORKS, *GENERATORS)} <= built
