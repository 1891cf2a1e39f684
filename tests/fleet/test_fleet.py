"""Two web machines and three workers lose nothing, whatever is killed, restarted or refused.

The large one is `make test-fleet`; it prints the table that docs/scaling.md shows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fleet import remains
from tests.fleet.conftest import Services
from tests.fleet.faults import Faults
from tests.fleet.machines import Fleet, Machine, wait_for
from tests.fleet.reckoning import (
    Reckoning,
    reckon_github,
    reckon_pages,
    reckon_pushes,
    settle,
)
from tests.fleet.sites import Push, make_pushes, send


def test_twenty_pushes_and_a_killed_worker_lose_nothing(
    services: Services, fleet: Fleet, dice: random.Random
) -> None:
    pushes = make_pushes(services.github, repositories=4, pushes=20, dice=dice)
    services.proxy.share = 0.1
    began = time.monotonic()
    _send_all(services, pushes[:10], threads=4)
    fleet.replace(wait_for(lambda: _building(fleet), "a build", 20))
    # Not more: after five errors GitHub is left alone for half a minute.
    services.github.trouble = "limit"
    _send_all(services, pushes[10:], threads=4)
    services.github.trouble = ""
    settle(services.database_url, 200)
    reckoning = _reckon(services, fleet, pushes, time.monotonic() - began)
    assert not reckoning.problems, reckoning.table()


@pytest.mark.fleet
@pytest.mark.timeout(1500)
def test_two_hundred_pushes_through_every_kind_of_trouble_lose_nothing(
    services: Services,
    fleet: Fleet,
    dice: random.Random,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pushes = make_pushes(services.github, repositories=20, pushes=200, dice=dice)
    services.proxy.share = 0.1
    faults = Faults(dice)
    faults.kill_workers(fleet, every=(6, 14))
    faults.supervise(fleet)
    faults.restart_redis(services.redis, every=(15, 25))
    faults.restart_postgres(services.postgres, every=(20, 30), away=(0, 2, 8))
    faults.trouble_github(services.github, ("error", "limit", "stall"), 6, every=(10, 15))
    began = time.monotonic()
    for start in range(0, len(pushes), 10):
        _send_all(services, pushes[start : start + 10], threads=5)
        _pause(5)
    faults.end()
    fleet.revive()
    settle(services.database_url, 600)
    reckoning = _reckon(services, fleet, pushes, time.monotonic() - began, faults)
    with capsys.disabled():
        print(f"\n{reckoning.table()}\n\nGitHub: {dict(services.github.asked)}\n")  # noqa: T201
    assert not reckoning.problems, "\n".join(reckoning.problems)


def _send_all(services: Services, pushes: list[Push], threads: int) -> None:
    """Several repositories at a time; the pushes of one in their order."""
    by_repository: dict[str, list[Push]] = {}
    for push in pushes:
        by_repository.setdefault(push.repository.name, []).append(push)

    def run(own: list[Push]) -> None:
        for push in own:
            send(services.github, push)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, by_repository.values()))


def _pause(seconds: float) -> None:
    """Developers push at their own pace, whatever the fleet makes of it."""
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end, "the next pushes", 2 * seconds)


def _building(fleet: Fleet) -> Machine | None:
    """A worker whose build is under way."""
    busy = (m for m in fleet.workers if any("bwrap" in line for line in remains.below(m)))
    return next(busy, None)


def _reckon(
    services: Services,
    fleet: Fleet,
    pushes: list[Push],
    seconds: float,
    faults: Faults | None = None,
) -> Reckoning:
    reckoning = Reckoning()
    kind = "network namespaces" if services.network.separate else "no network namespaces"
    reckoning.count(f"machines ({kind})", len(fleet.machines))
    for what, number in sorted(faults.count.items()) if faults else ():
        reckoning.count(what, number)
    total = services.proxy.failed + services.proxy.passed
    reckoning.count("calls to the S3 server", total)
    reckoning.count("… that failed", services.proxy.failed)
    reckon_pushes(reckoning, pushes, services.database_url)
    services.proxy.share = 0.0
    reckon_pages(reckoning, pushes, services.database_url, services.manifests(), fleet.webs)
    reckon_github(reckoning, services.github, pushes, services.database_url)
    # A group that was just made may be somebody's; after a minute it is nobody's.
    _reckon_remains(reckoning, services, fleet, patience=150 if faults else 0)
    reckoning.count("seconds from the first push until all was told", round(seconds))
    return reckoning


def _reckon_remains(
    reckoning: Reckoning, services: Services, fleet: Fleet, patience: float
) -> None:
    """While the workers live, and once more when all machines are stopped.

    `patience`: the seconds that they have to find what a killed one left.
    """
    own = [pid for machine in fleet.machines for pid in machine.pids[-1:]]
    own += [s._process.pid for s in (services.postgres, services.redis, services.s3)
            if s._process is not None]  # fmt: skip

    def running() -> list[str]:
        below = [line for machine in fleet.workers for line in remains.below(machine)]
        return below + remains.processes(own)

    _until_none(running, 20)
    reckoning.must_be_none("processes left by builds", running())
    _until_none(lambda: remains.folders(fleet.machines), 10)
    found = remains.folders(fleet.machines)
    reckoning.must_be_none("work folders, drafts and temporary files left", found)
    if patience:
        _until_none(lambda: remains.control_groups(fleet.machines), patience)
        reckoning.must_be_none("control groups left", remains.control_groups(fleet.machines))
    codes = [machine.stop() for machine in fleet.machines]
    reckoning.must_be_none("machines that did not end well", [str(c) for c in codes if c])
    own = own[-3:]
    _until_none(lambda: remains.processes(own), 5)
    reckoning.must_be_none("processes left by machines", remains.processes(own))
    reckoning.must_be_none("mounts left", remains.mounts(fleet.folder))


def _until_none(look: Callable[[], list[str]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while look() and time.monotonic() < deadline:
        time.sleep(0.2)
