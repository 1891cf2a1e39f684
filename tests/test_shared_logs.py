"""Builds' logs where web and workers have no folder in common: the database is all they share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from bot import events
from bot.builders.job import Control, Job
from bot.dashboard import pages
from bot.errors import SystemFault, UserError
from bot.logs import Logs, Shipment
from bot.models import builds, log_parts
from bot.models.database import Database
from bot.models.tables import Build
from bot.settings import Settings
from tests.test_worker import Workshop


@pytest.fixture
def workshop(
    make_settings: Callable[..., Settings], database: Database, database_url: str
) -> Workshop:
    """A worker on a machine of its own."""
    settings = make_settings(DATABASE_URL=database_url, BUILD_LOGS="database")
    return Workshop(settings, database)


@pytest.fixture
def elsewhere(make_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    """The settings of a web process that has nothing of the worker's folder."""
    return make_settings(DATA_DIR=tmp_path / "elsewhere", BUILD_LOGS="database")


def whole(workshop: Workshop) -> bytes:
    build = workshop.build()
    return (workshop.worker.settings.DATA_DIR / build.logs).read_bytes()


def test_a_page_elsewhere_shows_the_log_while_it_grows_and_afterwards(
    workshop: Workshop, elsewhere: Settings
) -> None:
    site = Flask("test")
    site.register_blueprint(pages.blueprint(elsewhere))
    client = site.test_client()
    seen = threading.Event()

    def script(job: Job, control: Control) -> None:
        control.log.write(b"compiling\n")
        for _ in range(100):
            if b"compiling" in client.get(f"/builds/{job.build_id}/log").data:
                seen.set()
                break
            control.cancelled.wait(0.05)
        control.log.write(b"an unfinished line")

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    assert seen.is_set()
    answer = client.get(f"/builds/{workshop.build_id}/log")
    assert answer.data == whole(workshop)
    assert b"| an unfinished line\n" in answer.data
    assert b"Live at" in answer.data
    rest = client.get(f"/builds/{workshop.build_id}/log?from={len(answer.data) - 9}")
    assert rest.data == answer.data[-9:]
    assert "compiling" in client.get(f"/builds/{workshop.build_id}").text


def test_whoever_sees_that_a_build_has_ended_has_its_whole_log(
    workshop: Workshop, elsewhere: Settings
) -> None:
    logs = Logs(elsewhere)
    seen: list[bytes] = []

    def script(job: Job, control: Control) -> None:
        control.log.write(b"the reason")
        raise UserError("build-failed", "It does not compile.", "Mend it.")

    def ended(_event: object) -> None:
        seen.append(logs.read(workshop.build()))

    workshop.worker.bus.subscribe(events.BuildFailed, ended)
    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    assert seen == [whole(workshop)]
    assert seen[0].endswith(b"Mend it.\n")


def test_a_log_ends_as_one_row_that_goes_with_its_build(workshop: Workshop) -> None:
    text = b"a line that compresses well\n" * 40_000
    workshop.pipeline.script = lambda _job, control: control.log.write(text)
    workshop.worker.build(workshop.build_id)
    rows = workshop.database.execute_sql("SELECT size, content FROM log_parts").fetchall()
    assert len(rows) == 1
    assert rows[0][0] == len(whole(workshop)) > 1_000_000
    assert len(rows[0][1]) < rows[0][0] / 8
    with workshop.database.write():
        Build.delete().execute()
    assert workshop.database.execute_sql("SELECT 1 FROM log_parts").fetchall() == []


def test_an_attempt_on_another_machine_goes_on_where_the_log_ended(
    workshop: Workshop, elsewhere: Settings
) -> None:
    def script(job: Job, control: Control) -> None:
        control.log.say("the first attempt")
        raise SystemFault("store-fault", "Disk full.")

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    first = whole(workshop)
    here = workshop.worker.settings
    workshop.worker.settings = replace(here, DATA_DIR=elsewhere.DATA_DIR)
    workshop.pipeline.script = lambda _job, control: control.log.say("the second attempt")
    workshop.worker.build(workshop.build_id)
    second = whole(workshop)
    assert second.startswith(first)
    assert b"the second attempt" in second
    assert Logs(elsewhere).read(workshop.build()) == second


def test_an_attempt_that_lost_its_build_adds_nothing_to_the_next_ones_log(
    workshop: Workshop, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"mine\n")
    with workshop.database.write():
        assert builds.claim(workshop.build_id, "w:1", "log")
    shipment = Shipment(workshop.database, workshop.build(), path)
    shipment.ship()
    with workshop.database.write():
        assert builds.hand_back(workshop.build_id, "w:1")
        assert builds.claim(workshop.build_id, "w:2", "log")
    path.write_bytes(b"mine\nand more\n")
    shipment.ship()
    shipment.end()
    assert log_parts.read(workshop.build_id) == b"mine\n"


def test_a_database_that_is_away_fails_no_build_and_gets_all_of_it_later(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    with workshop.database.write():
        assert builds.claim(workshop.build_id, "w:1", "log")
    shipment = Shipment(workshop.database, workshop.build(), path)

    def away(*_: object) -> bool:
        raise SystemFault("database-unavailable", "The database cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(log_parts, "add", away)
        shipment.ship()
    assert log_parts.size(workshop.build_id) == 0
    shipment.ship()
    assert log_parts.read(workshop.build_id, 2) == b"e\n"


@pytest.mark.parametrize(
    ("url", "chosen", "shared"),
    [
        ("sqlite:////tmp/x.db", "auto", False),
        ("postgresql://host/name", "auto", True),
        ("postgres://host/name", "auto", True),
        ("postgresql://host/name", "files", False),
        ("sqlite:////tmp/x.db", "database", True),
    ],
)
def test_logs_are_shared_where_machines_may_be_many(
    make_settings: Callable[..., Settings], url: str, chosen: str, shared: bool
) -> None:
    assert make_settings(DATABASE_URL=url, BUILD_LOGS=chosen).shares_logs is shared
