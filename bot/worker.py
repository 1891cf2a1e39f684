"""The worker: takes queued builds to their end, whatever happens on the way.

It owns the database side of a build (claim, lease, states, events); how a
deployment is made is `bot.builders.pipeline`'s affair, and it is not in charge of
what GitHub is told: it publishes events.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bot import part_builds
from bot.build_input import job_of
from bot.builders.job import Built, Control, Ignored, Job, Stage, Stopped
from bot.builders.leaks import own_secrets
from bot.builders.log import FileLog
from bot.errors import SystemFault, UserError
from bot.events import BuildCompleted, BuildFailed, BuildStarted, Bus
from bot.holder import Holder
from bot.models import (
    builds,
    deployments,
    inbox,
    outbox,
    outputs,
    projects,
    provenance,
    queue,
    sessions,
    traffic,
    wanted,
)
from bot.models.access import must_be_asked
from bot.models.database import Database
from bot.models.ids import now
from bot.models.status import BuildStatus
from bot.models.tables import Build, Deployment
from bot.observe.context import carrying
from bot.project_name import key_of
from bot.recovery import Recovery
from bot.serve.rules import rules_of
from bot.settings import Settings
from bot.signing import Signer
from bot.statement import statement
from bot.storage.manifest import Manifest
from bot.storage.store import NotPublished, Store
from bot.storage.variants import add_variants
from bot.visits import Visits

logger = logging.getLogger(__name__)

_STATUS_OF_STAGE = {
    Stage.FETCH: BuildStatus.CLONING,
    Stage.CHECKOUT: BuildStatus.CLONING,
    Stage.INSTALL: BuildStatus.BUILDING,
    Stage.BUILD: BuildStatus.BUILDING,
    Stage.REUSE: BuildStatus.PUBLISHING,
    Stage.PUBLISH: BuildStatus.PUBLISHING,
}
# How often a running build asks whether it is still wanted, and renews its lease.
_LOOK = 0.5  # seconds
_RENEW = builds.LEASE / 4  # ms
# What was received and told is kept for looking back, for ten times as long as
# GitHub can deliver it again.
_KEPT = 30 * 24 * 3600 * 1000  # ms
_TRAFFIC_KEPT = 400 * 24 * 3600 * 1000  # ms: this month can be held against last year's
_WANTED_KEPT = 24 * 3600 * 1000  # ms
# A wake-up is for any build, and whoever is awake takes up all there are.
_WAKE_UPS = 64


class Pipeline(Protocol):
    def run(self, job: Job, control: Control) -> Built: ...

    def tidy(self) -> None: ...


class Outbox(Protocol):
    def deliver_due(self) -> int | None: ...


class Worker:
    """Runs builds in the threads that call `build`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        bus: Bus,
        pipeline: Pipeline,
        outbox: Outbox | None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._bus = bus
        self._pipeline = pipeline
        self._outbox = outbox
        self.holder = Holder(settings.DATA_DIR / "workers", database)
        self._recovery = Recovery(settings, database, bus, self.holder, self._wake)
        self._draining = threading.Event()
        self._stopping = threading.Event()
        # Given by `bot.app` once the queues exist.
        self._signer = Signer(settings)
        self.requeue: Callable[[str, float], None] = lambda _build_id, _delay: None
        self.wake_outbox: Callable[[], None] = lambda: None
        self.visits: Visits | None = None
        self.wake_ups: Callable[[], int] = lambda: 0  # that the queue holds

    def take_up(self, woken_by: str) -> None:
        """Run builds, each when its turn has come, until none is to be taken up now."""
        while not self._draining.is_set():
            candidate = queue.next_build(self._settings.PROJECT_CONCURRENCY, now())
            if candidate is None:
                return
            self.build(candidate.build_id, candidate)
        # It was taken out of the queue: another worker is to have it at once.
        self.requeue(woken_by, 0)

    def build(self, build_id: str, candidate: queue.Candidate | None = None) -> None:
        """Take up a queued build, if it is still queued, and bring it to an end.

        `candidate`: unless the limit of its project is reached meanwhile.
        """
        if self._draining.is_set():
            return  # it stays queued, for the next worker
        holder = self.holder.claim_name()
        limit = candidate.limit if candidate is not None else 0
        # Whatever a power cut undoes of a build's way to its end, its next attempt does again.
        with self._database.write(durable=False):
            if not builds.claim(build_id, holder, f"logs/{build_id[:7]}/{build_id}.log", limit):
                return
            build = deployments.find_build(build_id)
            assert build is not None  # noqa: S101 (claimed in this transaction)
            self._bus.publish(BuildStarted(build.deployment_id, build_id))
            if candidate is not None:
                queue.had_turn(candidate)
        self.wake_outbox()
        with carrying(build=build_id, deployment=build.deployment_id, delivery=build.delivery):
            _Attempt(self, build).run()
        self.wake_outbox()

    def deliver(self) -> int | None:
        """Send what the outbox holds; answers when the next entry is due (ms), if any."""
        return self._outbox.deliver_due() if self._outbox is not None else None

    def look_after(self) -> None:
        """Heal what a crash left: builds without a worker, and messages that got lost."""
        self._recovery.look()
        if not self.wake_ups():
            for build_id in queue.waiting(_WAKE_UPS):
                self.requeue(build_id, 0)
        self.wake_outbox()
        self._pipeline.tidy()
        with self._database.write():
            outbox.forget_ended(now() - _KEPT)
            inbox.forget_older(now() - _KEPT)
            traffic.forget(now() - _TRAFFIC_KEPT)
            sessions.forget_expired(now())
            wanted.forget(now() - _WANTED_KEPT)

    def _wake(self, build_id: str, delay: float) -> None:
        self.requeue(build_id, delay)

    def check_domains(self) -> None:
        """Look for the proofs of custom domains whose time it is."""
        from bot.domains import DomainChecker

        DomainChecker(self._settings, self._database).check_due()

    def watch_visits(self, stopping: threading.Event) -> None:
        """Build what was visited and never built, where a project has that turned on."""
        if self.visits is not None:
            self.visits.watch(self.requeue, stopping)

    def lay_out_project(self, project_id: int) -> None:
        """Let front servers serve a project's sites by themselves, as far as they may."""
        for deployment_id in deployments.live(project_id):
            own = deployments.project_of(deployment_id) or project_id
            with contextlib.suppress(NotPublished):
                self._lay_out(own, self._store.manifest(deployment_id))

    def _lay_out(self, project_id: int, manifest: Manifest) -> None:
        if must_be_asked(project_id):
            return
        self._store.lay_out(manifest)
        # Whoever protected the project meanwhile has hidden what there was by then.
        if must_be_asked(project_id):
            self._store.hide(manifest.deployment)

    def start(self) -> None:
        """Be there for others to see, and take back what a worker held when it died.

        Call it once, where builds are taken up out of the queue.
        """
        with self._database.write():
            self._list_key()
        self.holder.beat(self._settings.BUILD_CONCURRENCY, self._recovery.look)
        self.look_after()

    def _list_key(self) -> None:
        provenance.list_key(self._signer.public.id, self._signer.public.x)

    def stop(self, within: float = 0) -> None:
        """Take up no more builds; those that still run in `within` seconds are handed back.

        It returns at once.
        """
        self._draining.set()
        if not within:
            self._stopping.set()
            return
        ending = threading.Timer(within, self._stopping.set)
        ending.daemon = True
        ending.start()


class _Attempt:
    """One attempt at one build, from claim to end."""

    def __init__(self, worker: Worker, build: Build) -> None:
        self._worker = worker
        self._database = worker._database
        self._build = build
        self._deployment: Deployment = build.deployment
        self._previous = deployments.newest_ready(build.deployment.project_id)
        self._key = key_of(build.deployment.project.name, build.deployment.sha, self._deployment.id)
        self._status = BuildStatus.CLONING
        # The claim, which made this attempt, has set when it started.
        self._waited = ((build.started_at or 0) - build.created_at) / 1000
        self._entered: list[tuple[Stage, float]] = []
        self._ended = threading.Event()
        settings = worker._settings
        self._log = FileLog(settings.DATA_DIR / build.logs, settings.BUILD_LOG_SIZE)
        self._log.guard(own_secrets(settings))
        self._control = Control(
            log=self._log,
            entering=self._enter,
            framework=self._describe,
            parts=self._request_parts,
        )

    def run(self) -> None:
        watch = threading.Thread(target=self._watch, name=f"watch {self._build.id}", daemon=True)
        watch.start()
        try:
            built = self._worker._pipeline.run(self._job(), self._control)
            self._succeed(built, {Stage.QUEUE: self._waited} | built.stages)
        except Stopped:
            self._stop()
        except Ignored as ignored:
            self._ignore(str(ignored))
        except UserError as error:
            self._fail(error)
        except SystemFault as fault:
            self._fault(fault.code, str(fault))
        except Exception:
            logger.exception("build %s: unexpected failure", self._build.id)
            self._fault("internal", "Something went wrong on our side.")
        finally:
            self._ended.set()
            watch.join()
            self._log.close()

    def _job(self) -> Job:
        job = job_of(self._build, self._previous, self._worker._settings)
        self._log.guard(job.variables.secret)
        return job

    def _enter(self, stage: Stage) -> None:
        if self._control.cancelled.is_set():
            raise Stopped
        self._entered.append((stage, time.monotonic()))
        if stage is Stage.PUBLISH and self._log.leak is not None:
            raise self._log.leak.error()
        status = _STATUS_OF_STAGE[stage]
        if status is self._status:
            return
        with self._database.write(durable=False):
            if not builds.advance(self._build.id, self._build.worker, status):
                raise Stopped
        self._status = status

    def _describe(self, framework: str) -> None:
        with self._database.write(durable=False):
            builds.describe(self._build.id, framework)

    def _request_parts(self, names: Sequence[str]) -> None:
        """The repository's other projects are built of the same commit, each by itself."""
        worker = self._worker
        if not self._deployment.sha:
            self._log.say("Of an upload the first project alone is built")
            return
        asked = part_builds.request(self._database, worker._bus, self._build, names)
        if asked is None:
            raise Stopped
        for name, one in zip(names, asked, strict=True):
            self._log.say(f"Project {name}: {worker._settings.build_url(one.build_id)}")
            if one.created:
                worker.requeue(one.build_id, 0)
        worker.wake_outbox()

    def _watch(self) -> None:
        """End the running command as soon as nobody wants its result."""
        renewed = now()
        while not self._ended.wait(_LOOK):
            try:
                wanted = builds.is_held(self._build.id, self._build.worker)
                if wanted and now() - renewed > _RENEW:
                    with self._database.write(durable=False):
                        wanted = builds.renew(self._build.id, self._build.worker)
                    renewed = now()
            except Exception:  # the database may be back at the next look
                logger.exception("build %s: its lease could not be renewed", self._build.id)
                continue
            if not wanted or self._worker._stopping.is_set():
                self._control.cancelled.set()
                return

    def _succeed(self, built: Built, stages: Mapping[Stage, float]) -> None:
        worker = self._worker
        of_rules = rules_of(worker._store, built.manifest).warnings
        for warning in of_rules:
            self._log.say(f"Warning: {warning}")
        self._log.say(f"Live at {worker._settings.deployment_url(self._key)}")
        files = (
            (path, entry.size, entry.media_type, entry.digest)
            for path, entry in built.manifest.files.items()
        )
        signed = self._signed(built, stages)
        with self._database.write():
            if not builds.succeed(self._build.id, self._build.worker, _named(stages), files):
                return
            worker._list_key()
            provenance.remember(self._deployment.id, signed)
            builds.warn(self._build.id, (*of_rules, *built.warnings))
            if (origin := built.origin) is not None:
                outputs.remember(self._deployment.id, origin.fingerprint, origin.tools)
            projects.point_aliases(self._deployment.id)
            worker._bus.publish(BuildCompleted(self._deployment.id, self._build.id))
        # Visible already: front servers that read files themselves get theirs a moment later.
        self._lay_out(built.manifest)

    def _signed(self, built: Built, stages: Mapping[Stage, float]) -> str:
        """The deployment's provenance. Nothing may be said in the log afterwards."""
        made = statement(
            self._build,
            built,
            _named(stages),
            self._log.digest(),
            now(),
            self._worker._settings,
        )
        return self._worker._signer.sign(made)

    def _lay_out(self, manifest: Manifest) -> None:
        """What makes the live page faster: compressed variants, and a tree for front servers.

        A protected project gets no tree: front servers know nothing of its protection.
        """
        store, deployment = self._worker._store, self._deployment
        try:
            varied = add_variants(store, deployment.id, self._previous) or manifest
            self._worker._lay_out(deployment.project_id, varied)
        except SystemFault as fault:  # the page is live without it
            logger.warning("build %s: not laid out: %s", self._build.id, fault)

    def _stop(self) -> None:
        if self._worker._stopping.is_set():
            with self._database.write():
                builds.hand_back(self._build.id, self._build.worker, uncounted=True)
            self._worker.requeue(self._build.id, 0)

    def _ignore(self, reason: str) -> None:
        """No failure: its branch keeps the page that it has."""
        self._log.say(f"{reason[0].upper()}{reason[1:]}. The page stays as it is.")
        held = (self._build.id, self._build.worker)
        with self._database.write():
            if builds.ignore(*held, reason, self._seconds()):
                self._worker._bus.publish(BuildFailed(self._deployment.id, self._build.id))

    def _fail(self, error: UserError) -> None:
        self._log.say(f"Failed: {error.message}")
        if error.hint:
            self._log.say(error.hint)
        timed_out = error.code == "timed-out"
        status = BuildStatus.TIMED_OUT if timed_out else BuildStatus.FAILED
        with self._database.write():
            if builds.fail(
                self._build.id,
                self._build.worker,
                status,
                error.code,
                self._log.masked(f"{error.message} {error.hint}".strip()),
                self._seconds(),
            ):
                self._worker._bus.publish(BuildFailed(self._deployment.id, self._build.id))

    def _seconds(self) -> dict[str, float]:
        """How long each stage took that a failed build came to."""
        found: dict[str, float] = {}
        end = time.monotonic()
        for stage, entered in reversed(self._entered):
            found[str(stage)] = found.get(str(stage), 0.0) + end - entered
            end = entered
        return {str(Stage.QUEUE): self._waited, **dict(reversed(found.items()))}

    def _fault(self, code: str, message: str) -> None:
        self._log.say(f"Not your doing: {message}")
        logger.warning("build %s: %s: %s", self._build.id, code, message)
        self._worker._recovery.give_up_or_repeat(self._build, code, message)


def _named(stages: Mapping[Stage, float]) -> dict[str, float]:
    return {str(stage): seconds for stage, seconds in stages.items()}
