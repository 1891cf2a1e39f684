"""Retention on a real store: what goes, what stays, what that frees, and who does it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.errors import UserError
from bot.models import changes, chores, deployments, policies, projects
from bot.models.database import Database
from bot.models.ids import now
from bot.models.retention import DAY
from bot.models.status import AliasKind, DeploymentStatus
from bot.models.tables import Build, Deployment, File
from bot.retention import Retention
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest

SHAS = [letter * 40 for letter in "abcdef"]


class Bot:
    """A project with deployments, and its store. `forgotten`: uploads whose source went."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.store = DiskStore(settings.DATA_DIR / "artifacts")
        self.forgotten: list[str] = []
        self.retention = Retention(settings, database, self.store, self.forgotten.append)
        with database.write():
            self.project_id = projects.connect_project(
                "octo/site", production_branch="main", private=False, installation_id=None
            )

    def live(self, sha: str, *contents: bytes, days_old: int = 0) -> str:
        """A live deployment of a commit that nothing leads to."""
        with self.database.write():
            asked = deployments.request_build(self.project_id, sha, "topic", "push", "preview")
            created = now() - days_old * DAY
            Deployment.update(
                status=DeploymentStatus.READY, created_at=created, updated_at=created
            ).where(Deployment.id == asked.deployment_id).execute()
            Build.update(status="ready", completed_at=created).where(
                Build.id == asked.build_id
            ).execute()
        self.publish(asked.deployment_id, *contents)
        return asked.deployment_id

    def publish(self, deployment_id: str, *contents: bytes) -> None:
        files = {}
        for number, content in enumerate(contents):
            digest, size = self.store.put_bytes([content])
            files[f"{number}.html"] = Entry(digest, size, "text/html")
            self.age(digest)
        manifest = Manifest(deployment=deployment_id, files=files, created_at=1)
        self.store.publish(manifest)
        self.store.lay_out(manifest)
        for entry in files.values():
            self.age(entry.digest)

    def age(self, digest: str) -> None:
        """Let a content look as if nobody had relied on it for two days."""
        path = self.store.path(digest)
        os.utime(path, (time.time() - 2 * 86_400, path.stat().st_mtime))

    def lead(self, deployment_id: str, branch: str = "topic") -> None:
        with self.database.write():
            projects.point_alias(self.project_id, AliasKind.BRANCH, branch, deployment_id)

    def status(self, deployment_id: str) -> str:
        return str(Deployment.get_by_id(deployment_id).status)

    def stored(self) -> set[str]:
        return {id_ for id_, *_ in self.store.deployments()}


@pytest.fixture
def make_bot(make_settings: Callable[..., Settings], database: Database) -> Callable[..., Bot]:
    return lambda **given: Bot(make_settings(**given), database)


@pytest.fixture
def bot(make_bot: Callable[..., Bot]) -> Bot:
    return make_bot(RETENTION_IDLE_DAYS=10)


def test_what_nobody_uses_goes_with_all_that_it_alone_held(bot: Bot) -> None:
    old = bot.live(SHAS[0], b"shared", b"of the old", days_old=11)
    new = bot.live(SHAS[1], b"shared", b"of the new")
    rehearsed = bot.retention.rehearse()
    assert bot.status(old) == DeploymentStatus.READY
    assert (bot.settings.DATA_DIR / "artifacts" / "sites" / old).is_dir()
    report = bot.retention.run()
    assert [one.id for one in report.removed] == [old]
    assert report.removed == rehearsed.removed
    assert report.removed[0].size == len(b"of the old")
    assert report.collected == rehearsed.collected
    assert (report.collected.contents, report.collected.size) == (1, len(b"of the old"))
    assert report.held == rehearsed.held == len(b"shared" + b"of the new")
    assert bot.status(old) == DeploymentStatus.EXPIRED
    assert bot.stored() == {new}
    assert not (bot.settings.DATA_DIR / "artifacts" / "sites" / old).exists()
    assert bot.forgotten == [old]


def test_a_project_may_keep_longer_than_the_operator_says(bot: Bot) -> None:
    old = bot.live(SHAS[0], b"old", days_old=11)
    with bot.database.write():
        policies.put(bot.project_id, {"idle_days": 0})
    assert bot.retention.run().removed == ()
    assert bot.status(old) == DeploymentStatus.READY


def test_over_the_budget_the_longest_unused_go_first_and_no_more_than_needed(
    make_bot: Callable[..., Bot],
) -> None:
    bot = make_bot(STORAGE_BUDGET=250, RETENTION_IDLE_DAYS=0)
    oldest = bot.live(SHAS[0], b"0" * 100, days_old=5)
    led_to = bot.live(SHAS[1], b"1" * 100, days_old=4)
    older = bot.live(SHAS[2], b"2" * 100, days_old=3)
    newest = bot.live(SHAS[3], b"3" * 50, days_old=2)
    bot.lead(led_to)
    report = bot.retention.run()
    assert [one.id for one in report.removed] == [oldest]
    assert "room" in report.removed[0].because
    assert (report.held, report.over) == (250, 0)
    assert bot.stored() == {led_to, older, newest}


def test_what_a_name_leads_to_stays_and_the_log_says_that_the_budget_is_not_met(
    make_bot: Callable[..., Bot], caplog: pytest.LogCaptureFixture
) -> None:
    bot = make_bot(STORAGE_BUDGET=10, RETENTION_IDLE_DAYS=0)
    led_to = bot.live(SHAS[0], b"1" * 100, days_old=4)
    unneeded = bot.live(SHAS[1], b"2" * 100)
    bot.lead(led_to)
    report = bot.retention.run()
    assert [one.id for one in report.removed] == [unneeded]
    assert report.over == 90
    assert bot.status(led_to) == DeploymentStatus.READY
    assert "STORAGE_BUDGET is exceeded by 90 bytes" in caplog.text
    completed = bot.retention.last()
    assert completed is not None
    assert completed.result["over"] == 90


def test_what_is_promoted_between_the_plan_and_its_end_stays_with_its_files(bot: Bot) -> None:
    old = bot.live(SHAS[0], b"old", days_old=11)
    plan = bot.retention._plan

    def late(names: dict[int, str]) -> Any:
        made = plan(names)
        with bot.database.write():
            changes.promote(bot.project_id, old)
        return made

    bot.retention._plan = late  # type: ignore[method-assign]
    report = bot.retention.run()
    assert report.removed == ()
    assert report.collected.contents == 0
    assert bot.status(old) == DeploymentStatus.READY
    assert bot.store.missing([e.digest for e in bot.store.manifest(old).files.values()]) == []


def test_what_was_published_by_a_build_that_was_given_up_is_taken_away(bot: Bot) -> None:
    gone = bot.live(SHAS[0], b"late")
    with bot.database.write():
        changes.delete_deployment(gone)
    assert gone in bot.stored()
    bot.retention.run()
    assert bot.stored() == set()


def test_a_store_that_the_database_knows_nothing_of_is_left_alone(bot: Bot) -> None:
    """Somebody started the bot with the wrong database: that must not cost them the store."""
    bot.publish("dpl-of-another-database", b"precious")
    bot.retention.run()
    assert bot.stored() == {"dpl-of-another-database"}


def test_old_builds_go_with_their_logs_and_gone_deployments_with_their_lists(bot: Bot) -> None:
    old = bot.live(SHAS[0], b"old", days_old=31)
    log = bot.settings.DATA_DIR / "logs" / "one.log"
    log.parent.mkdir(parents=True)
    log.write_text("it said")
    Build.update(logs="logs/one.log").where(Build.deployment == old).execute()
    File.create(deployment=old, path="a", size=1, mime_type="text/html", digest="0")
    assert bot.retention.rehearse().builds == 0  # it is live still
    report = bot.retention.run()
    assert report.builds == 1
    assert not log.exists()
    assert File.select().count() == 0
    assert bot.status(old) == DeploymentStatus.EXPIRED  # so that it can say so


def test_logs_without_a_build_go_from_each_machine(bot: Bot) -> None:
    """Of deleted projects, or forgotten by a worker on another machine."""
    live = bot.live(SHAS[0], b"live")
    (build,) = Build.select().where(Build.deployment == live)
    folder = bot.settings.DATA_DIR / "logs" / "bld-01"
    folder.mkdir(parents=True)
    names = [build.id, "bld-gone", "bld-gone-a-moment-ago"]
    for name in names:
        (folder / f"{name}.log").write_text("it said")
        if name != names[2]:
            os.utime(folder / f"{name}.log", (1, 1))
    bot.retention.forget_logs()
    assert {path.stem for path in folder.iterdir()} == {names[0], names[2]}


def test_a_worker_watches_until_it_stops(make_bot: Callable[..., Bot]) -> None:
    bot = make_bot(RETENTION_IDLE_DAYS=10, RETENTION_EVERY=1)
    old = bot.live(SHAS[0], b"old", days_old=11)
    stopping = threading.Event()
    watch = threading.Thread(target=bot.retention.watch, args=(stopping,))
    watch.start()
    try:
        deadline = time.monotonic() + 20
        while bot.stored() and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        stopping.set()
        watch.join(10)
    assert not watch.is_alive()
    assert bot.status(old) == DeploymentStatus.EXPIRED


def test_only_one_of_many_runs_it_and_no_more_often_than_wanted(bot: Bot) -> None:
    assert chores.take("retention", "another worker")
    with pytest.raises(UserError) as refused:
        bot.retention.run()
    assert refused.value.code == "conflict"
    bot.live(SHAS[0], b"old", days_old=11)
    bot.retention.run_if_due()
    assert len(bot.stored()) == 1
    chores.complete("retention", "another worker", {})
    bot.retention.run_if_due()  # it was done a moment ago
    assert len(bot.stored()) == 1
    bot.retention.run()
    assert bot.stored() == set()


def test_a_run_that_fails_says_why_and_lets_the_next_one_begin(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot.live(SHAS[0], b"old", days_old=11)
    bot.retention.run()
    monkeypatch.setattr(bot.store, "contents", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bot.retention.run()
    completed = bot.retention.last()
    assert completed is not None
    assert completed.result == {
        "problem": "division by zero", "deployments_total": 1, "bytes_total": 3,
    }  # fmt: skip
    monkeypatch.undo()
    assert bot.retention.run().removed == ()


def test_publishing_goes_on_while_retention_runs(bot: Bot, tmp_path: Path) -> None:
    """Contents that were about to be freed are published again, over and over."""
    failures: list[BaseException] = []
    ended = threading.Event()

    def publish() -> None:
        store = DiskStore(bot.settings.DATA_DIR / "artifacts")
        number = 0
        try:
            while not ended.is_set():
                number += 1
                files = {}
                for content in (b"one", b"two", b"%d" % (number % 3)):
                    digest, size = store.put_bytes([content])
                    files[digest] = Entry(digest, size, "text/html")
                store.publish(Manifest(deployment="dpl-x", files=files, created_at=1))
                assert store.missing(list(store.manifest("dpl-x").digests())) == []
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for number in range(8):
            bot.live(SHAS[0] if number % 2 else SHAS[1], b"one", b"%d" % number, days_old=11)
            bot.retention.run()
    finally:
        ended.set()
        thread.join()
    assert failures == []
    assert bot.stored() == {"dpl-x"}
