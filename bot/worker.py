"""The worker: takes up queued builds when their turn has come, and looks after what is kept.

What becomes of a build that it took up is `bot.attempt`'s affair, what becomes of those
whose worker is gone `bot.recovery`'s. It is not in charge of what GitHub is told: it
publishes events.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from bot.attempt import Attempt
from bot.builders.job import Built, Control, Job
from bot.events import BuildStarted, Bus
from bot.explanations import Explainer
from bot.holder import Holder
from bot.models import (
    builds,
    deployments,
    inbox,
    outbox,
    provenance,
    queue,
    sessions,
    traffic,
    wanted,
)
from bot.models.access import must_be_asked
from bot.models.database import Database
from bot.models.ids import now
from bot.observe.context import carrying
from bot.recovery import Recovery
from bot.settings import Settings
from bot.signing import Signer
from bot.storage.manifest import Manifest
from bot.storage.store import NotPublished, Store
from bot.visits import Visits

logger = logging.getLogger(__name__)

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
        self.settings = settings
        self.database = database
        self.store = store
        self.bus = bus
        self.pipeline = pipeline
        self._outbox = outbox
        self.holder = Holder(settings.DATA_DIR / "workers", database)
        self.recovery = Recovery(settings, database, bus, self.holder, self._wake)
        self._explainer = Explainer(database, bus, self.holder.id, settings.PROJECT_CONCURRENCY)
        self._draining = threading.Event()
        self.stopping = threading.Event()
        # Given by `bot.app` once the queues exist.
        self.signer = Signer(settings)
        self.requeue: Callable[[str, float], None] = lambda _build_id, _delay: None
        self.wake_outbox: Callable[[], None] = lambda: None
        self.replay_failed: Callable[[], None] = lambda: None
        self.visits: Visits | None = None
        self.wake_ups: Callable[[], int] = lambda: 0  # that the queue holds

    def take_up(self, woken_by: str) -> None:
        """Run builds, each when its turn has come, until none is to be taken up now."""
        while not self._draining.is_set():
            candidate = queue.next_build(self.settings.PROJECT_CONCURRENCY, now())
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
        with self.database.write(durable=False):
            if not builds.claim(build_id, holder, f"logs/{build_id[:7]}/{build_id}.log", limit):
                return
            build = deployments.find_build(build_id)
            assert build is not None  # noqa: S101 (claimed in this transaction)
            self.bus.publish(BuildStarted(build.deployment_id, build_id))
            if candidate is not None:
                queue.had_turn(candidate)
        self.wake_outbox()
        with carrying(build=build_id, deployment=build.deployment_id, delivery=build.delivery):
            Attempt(self, build).run()
        self.wake_outbox()

    def deliver(self) -> int | None:
        """Send what the outbox holds; answers when the next entry is due (ms), if any."""
        return self._outbox.deliver_due() if self._outbox is not None else None

    def look_after(self) -> None:
        """Heal what a crash left: builds without a worker, and messages that got lost."""
        self._catch_up()
        self._explainer.look()
        self.replay_failed()
        self.wake_outbox()
        self.pipeline.tidy()
        with self.database.write():
            outbox.forget_ended(now() - _KEPT)
            inbox.forget_older(now() - _KEPT)
            traffic.forget(now() - _TRAFFIC_KEPT)
            sessions.forget_expired(now())
            wanted.forget(now() - _WANTED_KEPT)

    def _catch_up(self) -> None:
        """What nobody was woken for: a worker is gone, or the queue is, or was, or forgot."""
        self.recovery.look()
        if not self.wake_ups():
            for build_id in queue.waiting(_WAKE_UPS):
                self.requeue(build_id, 0)
        self.wake_outbox()

    def _wake(self, build_id: str, delay: float) -> None:
        self.requeue(build_id, delay)

    def check_domains(self) -> None:
        """Look for the proofs of custom domains whose time it is."""
        from bot.domains import DomainChecker

        DomainChecker(self.settings, self.database).check_due()

    def watch_visits(self, stopping: threading.Event) -> None:
        """Build what was visited and never built, where a project has that turned on."""
        if self.visits is not None:
            self.visits.watch(self.requeue, stopping)

    def lay_out_project(self, project_id: int) -> None:
        """Let front servers serve a project's sites by themselves, as far as they may."""
        for deployment_id in deployments.live(project_id):
            own = deployments.project_of(deployment_id) or project_id
            with contextlib.suppress(NotPublished):
                self.lay_out(own, self.store.manifest(deployment_id))

    def lay_out(self, project_id: int, manifest: Manifest) -> None:
        if must_be_asked(project_id):
            return
        self.store.lay_out(manifest)
        # Whoever protected the project meanwhile has hidden what there was by then.
        if must_be_asked(project_id):
            self.store.hide(manifest.deployment)

    def start(self) -> None:
        """Be there for others to see, and take back what a worker held when it died.

        Call it once, where builds are taken up out of the queue.
        """
        with self.database.write():
            self.list_key()
        self.holder.beat(self.settings.BUILD_CONCURRENCY, self._catch_up)
        self.look_after()

    def list_key(self) -> None:
        provenance.list_key(self.signer.public.id, self.signer.public.x)

    def stop(self, within: float = 0) -> None:
        """Take up no more builds; those that still run in `within` seconds are handed back.

        It returns at once.
        """
        self._draining.set()
        if not within:
            self.stopping.set()
            return
        ending = threading.Timer(within, self.stopping.set)
        ending.daemon = True
        ending.start()
