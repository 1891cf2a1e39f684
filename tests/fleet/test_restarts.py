"""A service that goes away in the middle of a build and comes back costs time, and no more."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from bot import first_token
from bot.models.database import connect
from tests.fleet import remains
from tests.fleet.conftest import Services, running_services
from tests.fleet.machines import Fleet, wait_for
from tests.fleet.reckoning import Row, builds_of, settle
from tests.fleet.sites import Push, commit, files, send
from tests.uploads.archives import zip_of

# Longer than a statement waits for its server, and than the build itself takes.
_AWAY = 5.0  # seconds


@pytest.fixture(scope="module")
def services(app_key: str) -> Iterator[Services]:
    with running_services(app_key) as running:
        yield running


@pytest.fixture(scope="module")
def fleet(services: Services) -> Iterator[Fleet]:
    made = services.fleet(webs=1, workers=1)
    yield made
    made.close()


def _without_postgres(services: Services) -> None:
    services.postgres.restart(_passes)


def _without_redis(services: Services) -> None:
    services.redis.flush()
    services.redis.restart(_passes)


def _without_s3(services: Services) -> None:
    services.proxy.away = True
    _passes()
    services.proxy.away = False


def _passes() -> None:
    end = time.monotonic() + _AWAY
    wait_for(lambda: time.monotonic() > end, "the time to pass", 2 * _AWAY)


@pytest.mark.parametrize("lose", [_without_postgres, _without_redis, _without_s3])
def test_a_build_outlives_its(
    lose: Callable[[Services], None], services: Services, fleet: Fleet
) -> None:
    """… database, queue or store being away for longer than the build takes."""
    name = lose.__name__.replace("_", "-").strip("-")
    push = commit(services.github, f"owner/{name}", "shell", f"built {name}")
    send(services.github, push)
    assert push.accepted
    (worker,) = fleet.workers
    wait_for(lambda: any("bwrap" in line for line in remains.below(worker)), "a build", 20)
    lose(services)
    row = _ended(services, push)
    assert (row.build, row.status, row.error) == ("ready", "ready", "")
    # It was not begun anew where it could go on.
    assert row.attempts == 1
    with urllib.request.urlopen(f"{fleet.webs[0].url}/{push.after}/", timeout=20) as page:
        assert push.text in page.read().decode()
    assert [s["state"] for s in push.repository.statuses[push.after]][-1] == "success"
    assert services.manifests().count(row.id) == 1


def test_an_upload_is_built_by_a_machine_that_shares_no_disk_with_the_one_it_came_to(
    services: Services, fleet: Fleet
) -> None:
    database = connect(services.database_url)
    token = first_token.make_another(database, "for this test")
    database.close()
    (web,) = fleet.webs
    archive = zip_of({name: text.encode() for name, text in files("shell", "uploaded").items()})
    request = urllib.request.Request(
        f"{web.url}/deploy?project=uploaded",
        data=archive,
        headers={"Content-Type": "application/zip", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 202
        told = json.load(answer)
    settle(services.database_url, 60)
    with urllib.request.urlopen(f"{web.url}/{told['deployment_id']}/", timeout=20) as page:
        assert "uploaded" in page.read().decode()


def _ended(services: Services, push: Push) -> Row:
    settle(services.database_url, 60)
    (row,) = builds_of(services.database_url)[push.repository.name, push.after]
    return row
