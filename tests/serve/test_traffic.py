"""What is served is counted, in numbers alone."""

from __future__ import annotations

from collections.abc import Callable

from bot.events import Bus, DeploymentServed
from bot.models.ids import now
from bot.models.traffic import HOUR, add, forget, totals
from bot.serve.application import Previews
from bot.serve.traffic import Traffic
from bot.settings import Settings
from bot.storage.store import Store
from tests.serve.conftest import SHA, Deployer, fallback, serve


def test_counts_are_taken_once() -> None:
    counter = Traffic()
    for status, size in ((200, 10), (206, 5), (304, 0), (404, 7), (200, 1)):
        counter.add(status, size)
    assert counter.take() == {2: (3, 16), 3: (1, 0), 4: (1, 7)}
    assert counter.take() == {}


def test_what_was_served_is_written_and_told_in_batches(
    deployer: Deployer, store: Store, make_settings: Callable[..., Settings]
) -> None:
    deployment_id = deployer.deploy({"index.html": "12345", "big.bin": b"x" * 500_000})
    bus = Bus()
    told: list[DeploymentServed] = []
    bus.subscribe(DeploymentServed, told.append)
    previews = Previews(store, make_settings(), bus, fallback)
    host, stop = serve(previews)
    try:
        etag = host.get(f"/{SHA}/").headers["ETag"]
        host.get(f"/{deployment_id}/")
        host.get(f"/{SHA}/big.bin")
        host.get(f"/{SHA}/", If_None_Match=etag)
        host.get(f"/{SHA}/none")
        host.head(f"/{SHA}/")
    finally:
        stop()
    previews.traffic.write()
    assert totals(deployment_id)[2] == (4, 500_010)
    assert totals(deployment_id)[3] == (1, 0)
    assert totals(deployment_id)[4][0] == 1
    assert sum(event.requests for event in told) == 6
    assert len(told) == 3
    previews.traffic.write()
    assert len(told) == 3


def test_hours_are_added_up_and_forgotten(deployer: Deployer) -> None:
    deployment_id = deployer.deploy({"index.html": ""})
    time = now()
    for moment in (time, time, time - 5 * HOUR):
        add(deployment_id, moment, 2, 10, 100)
    assert totals(deployment_id) == {2: (30, 300)}
    assert totals(deployment_id, time - HOUR) == {2: (20, 200)}
    forget(time - HOUR)
    assert totals(deployment_id) == {2: (20, 200)}


def test_a_deployment_that_is_gone_is_not_counted(deployer: Deployer) -> None:
    add("dpl-none", now(), 2, 1, 1)
    assert totals("dpl-none") == {}
