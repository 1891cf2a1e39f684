"""The worker: whatever the pipeline does, a build comes to the right end."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bot import events
from bot.builders.job import Built, Control, Ignored, Job, Origin, Stage, Stopped
from bot.errors import SystemFault, UserError
from bot.events import Bus
from bot.holder import Holder
from bot.models import builds, deployments, inbox, outbox, projects, workers
from bot.models.database import Database
from bot.models.ids import now
from bot.models.status import BuildStatus, DeploymentStatus
from bot.models.tables import Alias, Build, Delivery, File, OutboxEntry
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest
from bot.worker import Worker

SHA = "b" * 40


class Scripted:
    """A pipeline that does what the test says."""

    def __init__(self) -> None:
        self.script: Callable[[Job, Control], None] = lambda _job, _control: None
        self.jobs: list[Job] = []
        self.tidied = 0
        self.origin = Origin()

    def tidy(self) -> None:
        self.tidied += 1

    def run(self, job: Job, control: Control) -> Built:
        self.jobs.append(job)
        self.script(job, control)
        files = {"index.html": Entry("0" * 64, 4, "text/html; charset=utf-8")}
        manifest = Manifest(deployment=job.deployment_id, files=files, created_at=now())
        return Built(
            manifest=manifest,
            framework="Plain HTML",
            stages={Stage.FETCH: 0.5},
            origin=self.origin,
        )


class Workshop:
    """A worker with a scripted pipeline, and a project to build."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.database = database
        self.pipeline = Scripted()
        self.told: list[Any] = []
        self.requeued: list[tuple[str, float]] = []
        bus = Bus()
        for kind in (events.BuildStarted, events.BuildCompleted, events.BuildFailed):
            bus.subscribe(kind, self.told.append)
        self.store = DiskStore(settings.DATA_DIR / "artifacts")
        self.store.lay_out = lambda manifest: None  # type: ignore[method-assign]
        self.worker = Worker(settings, database, self.store, bus, self.pipeline, None)
        self.worker.requeue = lambda build_id, delay: self.requeued.append((build_id, delay))
        with database.write():
            self.project_id = projects.connect_project(
                "octo/site", production_branch="main", private=False, installation_id=None
            )
            projects.move_ref(self.project_id, "main", SHA, 1, "")
        self.build_id = self.request(SHA)

    def request(self, sha: str) -> str:
        with self.database.write():
            return deployments.request_build(
                self.project_id, sha, "main", "push", "production"
            ).build_id

    def build(self) -> Build:
        found = deployments.find_build(self.build_id)
        assert found is not None
        return found

    def told_kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.told]


@pytest.fixture
def workshop(settings: Settings, database: Database) -> Workshop:
    return Workshop(settings, database)


def test_a_good_build_becomes_a_ready_deployment_with_files_and_aliases(
    workshop: Workshop,
) -> None:
    seen: list[str] = []

    def script(job: Job, control: Control) -> None:
        for stage in (Stage.FETCH, Stage.INSTALL, Stage.BUILD, Stage.PUBLISH):
            control.entering(stage)
            seen.append(str(workshop.build().status))
        control.framework("Vite")

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    build = workshop.build()
    assert seen == ["cloning", "building", "building", "publishing"]
    assert (build.status, build.framework) == (BuildStatus.READY, "Vite")
    assert build.deployment.status == DeploymentStatus.READY
    assert '"fetch": 0.5' in build.stages
    assert '"queue":' in build.stages
    assert [(f.path, f.size) for f in File.select()] == [("index.html", 4)]
    assert {a.kind for a in Alias.select()} == {"branch", "production"}
    assert workshop.told_kinds() == ["BuildStarted", "BuildCompleted"]
    job = workshop.pipeline.jobs[0]
    assert (job.project, job.sha, job.base_path) == ("octo/site", SHA, f"/{SHA}/")


def test_a_build_is_taken_up_once(workshop: Workshop) -> None:
    workshop.worker.build(workshop.build_id)
    workshop.worker.build(workshop.build_id)
    assert len(workshop.pipeline.jobs) == 1


def test_a_user_error_fails_the_build_and_says_why_in_the_log(
    workshop: Workshop, settings: Settings
) -> None:
    def script(job: Job, control: Control) -> None:
        control.entering(Stage.FETCH)
        control.entering(Stage.PUBLISH)
        raise UserError("no-index-page", "There is no index page.", "Add index.html.")

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    build = workshop.build()
    assert (build.status, build.error_code) == (BuildStatus.FAILED, "no-index-page")
    assert build.deployment.status == DeploymentStatus.FAILED
    assert list(json.loads(build.stages)) == ["queue", "fetch", "publish"]
    assert build.error_message == "There is no index page. Add index.html."
    log = (settings.DATA_DIR / build.logs).read_text()
    assert "There is no index page." in log
    assert "Add index.html." in log
    assert workshop.told_kinds() == ["BuildStarted", "BuildFailed"]
    assert workshop.requeued == []


def test_a_timeout_has_a_state_of_its_own(workshop: Workshop) -> None:
    def script(job: Job, control: Control) -> None:
        raise UserError("timed-out", "The build took longer than 1 s.")

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    assert workshop.build().status == BuildStatus.TIMED_OUT


@pytest.mark.parametrize("error", [SystemFault("work-folder", "No room."), RuntimeError("bug")])
def test_our_own_faults_are_repeated_with_growing_delays_and_then_end_the_build(
    workshop: Workshop, error: Exception
) -> None:
    def script(job: Job, control: Control) -> None:
        raise error

    workshop.pipeline.script = script
    for _ in range(builds.LARGEST_ATTEMPTS - 1):
        workshop.worker.build(workshop.build_id)
        assert workshop.build().status == BuildStatus.QUEUED
    workshop.worker.build(workshop.build_id)
    assert workshop.build().status == BuildStatus.ERRORED
    delays = [delay for _, delay in workshop.requeued]
    assert len(delays) == builds.LARGEST_ATTEMPTS - 1
    assert delays[0] < delays[1]
    assert workshop.told_kinds().count("BuildFailed") == 1


def test_an_outage_is_outlasted_for_an_hour_and_costs_no_attempt(workshop: Workshop) -> None:
    def script(job: Job, control: Control) -> None:
        raise SystemFault("store-fault", "The store cannot be reached.")

    def asked_for(seconds: int) -> None:
        Build.update(created_at=now() - seconds * 1000).execute()

    workshop.pipeline.script = script
    for seconds in (1, 100, 2000, 3500):
        asked_for(seconds)
        workshop.worker.build(workshop.build_id)
        build = workshop.build()
        assert (build.status, build.attempts) == (BuildStatus.QUEUED, 0)
    delays = [delay for _, delay in workshop.requeued]
    for delay, expected in zip(delays, (5, 25, 60, 60), strict=True):
        assert 0.75 * expected < delay < 1.25 * expected
    for _ in range(builds.LARGEST_ATTEMPTS):
        asked_for(3700)
        workshop.worker.build(workshop.build_id)
    assert workshop.build().status == BuildStatus.ERRORED


def test_what_a_build_came_to_outlives_a_database_that_is_away(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction of the attempt is lost once, at its end: the last one though it was kept."""
    lost: list[str] = []
    monkeypatch.setattr("bot.patience._PAUSE", 0.01)
    real = workshop.database.write

    @contextlib.contextmanager
    def failing(*, durable: bool = True) -> Iterator[None]:
        with real(durable=durable):
            yield
        status = str(workshop.build().status)
        if workshop.pipeline.jobs and status not in lost:
            lost.append(status)
            raise SystemFault("database-unavailable", "The database cannot be reached.")

    def script(job: Job, control: Control) -> None:
        control.entering(Stage.BUILD)
        control.entering(Stage.PUBLISH)

    workshop.pipeline.script = script
    monkeypatch.setattr(workshop.database, "write", failing)
    workshop.worker.build(workshop.build_id)
    build = workshop.build()
    assert (build.status, build.attempts) == (BuildStatus.READY, 1)
    assert lost == ["building", "publishing", "ready"]
    assert workshop.told_kinds() == ["BuildStarted", "BuildCompleted"]


def test_a_superseded_build_is_stopped_and_stays_superseded(workshop: Workshop) -> None:
    def script(job: Job, control: Control) -> None:
        with workshop.database.write():
            deployments.supersede(workshop.project_id, "main", SHA)
        assert control.cancelled.wait(10)
        control.entering(Stage.PUBLISH)

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    assert workshop.build().status == BuildStatus.SUPERSEDED
    assert workshop.told_kinds() == ["BuildStarted"]


def test_a_stopping_worker_hands_its_build_back_uncounted(workshop: Workshop) -> None:
    def script(job: Job, control: Control) -> None:
        workshop.worker.stop()
        assert control.cancelled.wait(10)
        raise Stopped

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    build = workshop.build()
    assert (build.status, build.attempts) == (BuildStatus.QUEUED, 0)
    workshop.worker.build(workshop.build_id)
    assert len(workshop.pipeline.jobs) == 1


def test_queued_builds_are_queued_again_only_where_no_message_waits(workshop: Workshop) -> None:
    other = workshop.request("c" * 40)
    workshop.worker.wake_ups = lambda: 1
    workshop.worker.look_after()
    assert workshop.requeued == []
    workshop.worker.wake_ups = lambda: 0
    workshop.worker.look_after()
    assert workshop.requeued == [(workshop.build_id, 0), (other, 0)]


def test_whoever_is_woken_runs_all_there_are_and_none_that_is_not_due(workshop: Workshop) -> None:
    other, later = workshop.request("c" * 40), workshop.request("d" * 40)
    with workshop.database.write():
        Build.update(due_at=now() + 60_000).where(Build.id == later).execute()
    workshop.worker.take_up("bld-whichever")
    assert [job.build_id for job in workshop.pipeline.jobs] == [workshop.build_id, other]
    workshop.worker.take_up(later)
    assert Build.get_by_id(later).status == BuildStatus.QUEUED


def test_a_message_that_a_stopping_worker_takes_out_goes_back_at_once(workshop: Workshop) -> None:
    workshop.worker.stop(within=60)
    workshop.worker.take_up(workshop.build_id)
    assert workshop.requeued == [(workshop.build_id, 0)]
    assert workshop.build().status == BuildStatus.QUEUED


def test_a_worker_that_drains_finishes_its_build_and_begins_no_other(workshop: Workshop) -> None:
    workshop.request("c" * 40)

    def script(job: Job, control: Control) -> None:
        workshop.worker.stop(within=60)
        assert not control.cancelled.wait(0.7)

    workshop.pipeline.script = script
    workshop.worker.take_up(workshop.build_id)
    assert workshop.build().status == BuildStatus.READY
    assert len(workshop.pipeline.jobs) == 1


def test_what_is_not_finished_within_the_drains_deadline_is_handed_back(
    workshop: Workshop,
) -> None:
    def script(job: Job, control: Control) -> None:
        workshop.worker.stop(within=0.1)
        assert control.cancelled.wait(10)
        raise Stopped

    workshop.pipeline.script = script
    workshop.worker.take_up(workshop.build_id)
    build = workshop.build()
    assert (build.status, build.attempts, build.due_at) == ("queued", 0, build.created_at)
    assert (workshop.build_id, 0) in workshop.requeued


def test_a_build_that_nobody_ends_is_ended_from_outside(
    workshop: Workshop, settings: Settings
) -> None:
    longest = (2 * settings.BUILD_TIMEOUT + 120) * 1000
    with workshop.database.write():
        builds.claim(workshop.build_id, "elsewhere:1")
        Build.update(started_at=now() - longest - 1).execute()
    workshop.worker.look_after()
    build = workshop.build()
    assert (build.status, build.error_code) == (BuildStatus.TIMED_OUT, "timed-out")
    assert workshop.told_kinds() == ["BuildFailed"]


def test_a_build_whose_worker_was_lost_is_queued_again_or_given_up(workshop: Workshop) -> None:
    with workshop.database.write():
        builds.claim(workshop.build_id, "elsewhere:1")
        Build.update(lease_until=now() - 1).execute()
    workshop.worker.look_after()
    assert workshop.pipeline.tidied == 1
    assert workshop.build().status == BuildStatus.QUEUED
    assert workshop.build_id in [build_id for build_id, _ in workshop.requeued]
    with workshop.database.write():
        builds.claim(workshop.build_id, "elsewhere:1")
        Build.update(lease_until=now() - 1, attempts=builds.LARGEST_ATTEMPTS).execute()
    workshop.worker.look_after()
    assert (workshop.build().status, workshop.build().error_code) == (
        BuildStatus.ERRORED,
        "worker-lost",
    )


def test_what_was_received_and_told_long_ago_is_forgotten(workshop: Workshop) -> None:
    month = 31 * 24 * 3600 * 1000
    with workshop.database.write():
        for guid, received in (("old", now() - month), ("new", now())):
            inbox.remember(guid, "push", "", "")
            Delivery.update(received_at=received).where(Delivery.guid == guid).execute()
            outbox.add(workshop.project_id, "status", guid, {})
        OutboxEntry.update(due_at=now() - month).where(OutboxEntry.key == "old").execute()
    workshop.worker.look_after()
    assert [row.guid for row in Delivery.select()] == ["new"]
    assert OutboxEntry.select().count() == 2  # what was not told yet is never forgotten
    OutboxEntry.update(state="sent").execute()
    workshop.worker.look_after()
    assert [row.key for row in OutboxEntry.select()] == ["new"]


def dead_process(settings: Settings) -> str:
    """The name of a claim of a process that was killed."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from bot.holder import Holder\n"
        "name = Holder(Path(sys.argv[1]), None).claim_name()\n"
        "print(name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = (sys.executable, "-c", script, str(settings.DATA_DIR / "workers"))
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_at_its_start_a_worker_takes_back_what_a_dead_process_with_its_folder_held(
    workshop: Workshop, settings: Settings
) -> None:
    living = Holder(settings.DATA_DIR / "workers", workshop.database)
    with workshop.database.write():
        builds.claim(workshop.build_id, dead_process(settings))
    other = workshop.request("c" * 40)
    with workshop.database.write():
        builds.claim(other, living.claim_name())
    workshop.worker.start()
    assert workshop.build().status == BuildStatus.QUEUED
    assert Build.get_by_id(other).status == BuildStatus.CLONING
    assert [one.id for one in workers.present()] == [workshop.worker.holder.id]
    workshop.worker.holder.leave()
    assert workers.present() == []
    living.leave()
    assert list((settings.DATA_DIR / "workers").iterdir()) == []


def test_a_build_that_kills_its_worker_every_time_is_given_up(
    workshop: Workshop, settings: Settings
) -> None:
    for _ in range(builds.LARGEST_ATTEMPTS):
        with workshop.database.write():
            assert builds.claim(workshop.build_id, dead_process(settings))
        workshop.worker.look_after()
    build = workshop.build()
    assert (build.status, build.error_code) == (BuildStatus.ERRORED, "worker-lost")


def test_an_attempt_that_slept_through_its_lease_does_not_pass_for_the_next_one(
    workshop: Workshop,
) -> None:
    def script(job: Job, control: Control) -> None:
        # What `look_after` and another thread of this very process would do.
        with workshop.database.write():
            builds.hand_back(workshop.build_id, workshop.build().worker)
            assert builds.claim(workshop.build_id, "the next attempt")
        assert control.cancelled.wait(10)
        raise Stopped

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    build = workshop.build()
    assert (build.status, build.worker) == (BuildStatus.CLONING, "the next attempt")


def test_the_bots_own_secrets_never_get_into_a_log(
    make_settings: Callable[..., Settings], database: Database
) -> None:
    settings = make_settings(GITHUB_TOKEN="ghp_very_secret_token")
    workshop = Workshop(settings, database)

    def script(job: Job, control: Control) -> None:
        control.log.say("using ghp_very_secret_token")
        control.log.write(b"printed ghp_very_")
        control.log.write(b"secret_token\n")

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    log = (settings.DATA_DIR / workshop.build().logs).read_text()
    assert "secret_token" not in log
    assert log.count("[REDACTED]") == 2


def test_a_lease_is_kept_while_the_build_runs(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.attempt._RENEW", 0)
    renewed = threading.Event()

    def script(job: Job, control: Control) -> None:
        with workshop.database.write():
            Build.update(lease_until=5).execute()
        for _ in range(100):
            if workshop.build().lease_until > 5:
                renewed.set()
                return
            renewed.wait(0.05)

    workshop.pipeline.script = script
    workshop.worker.build(workshop.build_id)
    assert renewed.is_set()
    assert workshop.build().status == BuildStatus.READY


def test_a_commit_that_its_projects_rules_ignore_ends_neutral_and_moves_no_name(
    workshop: Workshop, settings: Settings
) -> None:
    workshop.worker.build(workshop.build_id)
    shown = Alias.get(Alias.kind == "branch").deployment_id
    other = "c" * 40
    with workshop.database.write():
        projects.move_ref(workshop.project_id, "main", other, 2, SHA)
    build_id = workshop.request(other)

    def script(job: Job, control: Control) -> None:
        assert job.built == SHA
        raise Ignored("ignore.paths names all: not built")

    workshop.pipeline.script = script
    workshop.worker.build(build_id)
    build = deployments.find_build(build_id)
    assert build is not None
    assert (build.status, build.error_message) == (
        BuildStatus.IGNORED,
        "ignore.paths names all: not built",
    )
    assert build.deployment.status == DeploymentStatus.SKIPPED
    assert {alias.deployment_id for alias in Alias.select()} == {shown}
    assert (
        "Ignore.paths names all: not built. The page stays"
        in (settings.DATA_DIR / build.logs).read_text()
    )
    with workshop.database.write():
        again = deployments.request_build(
            workshop.project_id, other, "main", "pull_request", "preview"
        )
        assert (again.build_id, again.created, again.ready) == (build_id, False, False)
        retried = deployments.retry_build(build.deployment_id, fresh=True)
    workshop.pipeline.script = lambda _job, _control: None
    workshop.worker.build(retried.build_id)
    assert workshop.pipeline.jobs[-1].fresh
    assert {alias.deployment_id for alias in Alias.select()} == {build.deployment_id}


def test_an_ignored_preview_that_becomes_production_is_looked_at_again(workshop: Workshop) -> None:
    other = "c" * 40
    with workshop.database.write():
        asked = deployments.request_build(workshop.project_id, other, "x", "push", "preview")

    def script(job: Job, control: Control) -> None:
        raise Ignored("x")

    workshop.pipeline.script = script
    workshop.worker.build(asked.build_id)
    with workshop.database.write():
        again = deployments.request_build(workshop.project_id, other, "main", "push", "production")
    assert again.created
    assert (again.deployment_id, again.build_id == asked.build_id) == (asked.deployment_id, False)


def test_the_next_build_of_the_same_is_told_of_the_earlier_one(workshop: Workshop) -> None:
    workshop.pipeline.origin = Origin(fingerprint="f", tools="node 22")
    workshop.worker.build(workshop.build_id)
    workshop.worker.build(workshop.request("c" * 40))
    earlier = workshop.pipeline.jobs[-1].earlier
    found = earlier("f")
    assert found is not None
    assert (found.sha, found.tools) == ("c" * 40, "node 22")
    assert earlier("g") is None
