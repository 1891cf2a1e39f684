"""One attempt at one build, from its claim to its end.

It owns the database side of the attempt: states, lease, log, events. How a deployment is
made is `bot.builders.pipeline`'s affair; which build is attempted, and what is done about
workers that are gone, is decided elsewhere (`bot.worker`, `bot.recovery`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from bot import part_builds
from bot.build_input import job_of
from bot.builders.job import Built, Control, Ignored, Job, Stage, Stopped
from bot.builders.leaks import own_secrets
from bot.builders.log import FileLog
from bot.errors import SystemFault, UserError
from bot.events import BuildCompleted, BuildFailed
from bot.logs import Shipment
from bot.models import (
    builds,
    deployments,
    outputs,
    projects,
    provenance,
    uploads,
)
from bot.models.ids import now
from bot.models.status import BuildStatus
from bot.models.tables import Build, Deployment
from bot.patience import insist
from bot.project_name import key_of
from bot.serve.rules import rules_of
from bot.statement import statement
from bot.storage.manifest import Manifest
from bot.storage.variants import add_variants

if TYPE_CHECKING:
    from bot.worker import Worker

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
_MOMENT = 0.01  # seconds


class Attempt:
    """One attempt at one build, from claim to end."""

    def __init__(self, worker: Worker, build: Build) -> None:
        self._worker = worker
        self._database = worker.database
        self._build = build
        self._deployment: Deployment = build.deployment
        self._previous = deployments.newest_ready(build.deployment.project_id)
        self._key = key_of(build.deployment.project.name, build.deployment.sha, self._deployment.id)
        self._status = BuildStatus.CLONING
        # The claim, which made this attempt, has set when it started.
        self._waited = ((build.started_at or 0) - build.created_at) / 1000
        self._entered: list[tuple[Stage, float]] = []
        self._ended = threading.Event()
        settings = worker.settings
        path = settings.DATA_DIR / build.logs
        shares = settings.shares_logs
        self._shipment = Shipment(worker.database, build, path) if shares else None
        self._log = FileLog(path, settings.BUILD_LOG_SIZE)
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
            built = self._worker.pipeline.run(self._job(), self._control)
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
            if self._shipment is not None:
                self._shipment.end()

    def _job(self) -> Job:
        job = job_of(self._build, self._previous, self._worker.settings)
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
        held = (self._build.id, self._build.worker)
        if not self._write(lambda: builds.advance(*held, status), durable=False):
            raise Stopped
        self._status = status

    def _describe(self, framework: str) -> None:
        self._write(lambda: builds.describe(self._build.id, framework), durable=False)

    def _write(self, work: Callable[[], T], *, durable: bool = True) -> T:
        """One transaction, for which a database that is being restarted is waited for."""

        def write() -> T:
            with self._database.write(durable=durable):
                return work()

        return insist(write, self._worker.stopping)

    def _request_parts(self, names: Sequence[str]) -> None:
        """The repository's other projects are built of the same commit, each by itself."""
        worker = self._worker
        if not self._deployment.sha:
            self._log.say("Of an upload the first project alone is built")
            return
        asked = insist(
            lambda: part_builds.request(self._database, worker.bus, self._build, names),
            worker.stopping,
        )
        if asked is None:
            raise Stopped
        for name, one in zip(names, asked, strict=True):
            self._log.say(f"Project {name}: {worker.settings.build_url(one.build_id)}")
            if one.created:
                worker.requeue(one.build_id, 0)
        worker.wake_outbox()

    def _watch(self) -> None:
        """End the running command as soon as nobody wants its result."""
        renewed = now()
        while not self._ended.wait(_LOOK):
            try:
                if self._shipment is not None:
                    self._shipment.ship()
                wanted = builds.is_held(self._build.id, self._build.worker)
                if wanted and now() - renewed > _RENEW:
                    with self._database.write(durable=False):
                        wanted = builds.renew(self._build.id, self._build.worker)
                    renewed = now()
            except Exception:  # the database may be back at the next look
                logger.exception("build %s: its lease could not be renewed", self._build.id)
                continue
            if not wanted or self._worker.stopping.is_set():
                self._control.cancelled.set()
                return

    def _succeed(self, built: Built, stages: Mapping[Stage, float]) -> None:
        worker = self._worker
        of_rules = rules_of(worker.store, built.manifest).warnings
        for warning in of_rules:
            self._log.say(f"Warning: {warning}")
        self._log.say(f"Live at {worker.settings.deployment_url(self._key)}")
        signed = self._signed(built, stages)
        self._share_log()
        warnings = (*of_rules, *built.warnings)
        if self._write(lambda: self._record(built, stages, signed, warnings)):
            # Visible already: front servers that read files themselves get theirs now.
            self._lay_out(built.manifest)

    def _record(
        self, built: Built, stages: Mapping[Stage, float], signed: str, warnings: Sequence[str]
    ) -> bool:
        """That the deployment is live, and all that follows; `False`: others have the build."""
        worker = self._worker
        files = (
            (path, entry.size, entry.media_type, entry.digest)
            for path, entry in built.manifest.files.items()
        )
        if not builds.succeed(self._build.id, self._build.worker, _named(stages), files):
            return False
        worker.list_key()
        provenance.remember(self._deployment.id, signed)
        builds.warn(self._build.id, warnings)
        if (origin := built.origin) is not None:
            outputs.remember(self._deployment.id, origin.fingerprint, origin.tools)
        projects.point_aliases(self._deployment.id)
        worker.bus.publish(BuildCompleted(self._deployment.id, self._build.id))
        return True

    def _signed(self, built: Built, stages: Mapping[Stage, float]) -> str:
        """The deployment's provenance. Nothing may be said in the log afterwards."""
        made = statement(
            self._build,
            built,
            _named(stages),
            self._log.digest(),
            now(),
            self._worker.settings,
        )
        return self._worker.signer.sign(made)

    def _lay_out(self, manifest: Manifest) -> None:
        """What makes the live page faster: compressed variants, and a tree for front servers.

        A protected project gets no tree: front servers know nothing of its protection.
        """
        # Whoever waits for the page in this process is to be answered first.
        time.sleep(_MOMENT)
        store, deployment = self._worker.store, self._deployment
        try:
            varied = add_variants(store, deployment.id, self._previous) or manifest
            self._worker.lay_out(deployment.project_id, varied)
            if not uploads.is_known(deployment.id):  # deleted meanwhile, and published again
                store.delete(deployment.id)
        except SystemFault as fault:  # the page is live without it
            logger.warning("build %s: not laid out: %s", self._build.id, fault)

    def _share_log(self) -> None:
        """Whoever follows the log has all of it when they see that the build has ended."""
        if self._shipment is not None:
            self._log.flush()
            self._shipment.ship()

    def _stop(self) -> None:
        self._share_log()
        if self._worker.stopping.is_set():
            held = (self._build.id, self._build.worker)
            self._write(lambda: builds.hand_back(*held, uncounted=True))
            self._worker.requeue(self._build.id, 0)

    def _ignore(self, reason: str) -> None:
        """No failure: its branch keeps the page that it has."""
        self._log.say(f"{reason[0].upper()}{reason[1:]}. The page stays as it is.")
        self._share_log()
        self._end_without_page(lambda held: builds.ignore(*held, reason, self._seconds()))

    def _end_without_page(self, end: Callable[[tuple[str, str]], bool]) -> None:
        def work() -> None:
            if end((self._build.id, self._build.worker)):
                self._worker.bus.publish(BuildFailed(self._deployment.id, self._build.id))

        self._write(work)

    def _fail(self, error: UserError) -> None:
        self._log.say(f"Failed: {error.message}")
        if error.hint:
            self._log.say(error.hint)
        self._share_log()
        timed_out = error.code == "timed-out"
        status = BuildStatus.TIMED_OUT if timed_out else BuildStatus.FAILED
        shown = self._log.masked(f"{error.message} {error.hint}".strip())
        self._end_without_page(
            lambda held: builds.fail(*held, status, error.code, shown, self._seconds())
        )

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
        self._share_log()
        recovery = self._worker.recovery
        insist(
            lambda: recovery.give_up_or_repeat(self._build, code, message), self._worker.stopping
        )


def _named(stages: Mapping[Stage, float]) -> dict[str, float]:
    return {str(stage): seconds for stage, seconds in stages.items()}
