"""Takes away what is kept for nobody: expired deployments, old builds, contents of neither.

    expired → over the budget → their rows, trees and manifests → contents

Which deployments may go is decided by `bot.models.retention`, under the project's lock; how
contents are deleted without harm to publishings is `bot.storage.collect`'s affair.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bot.errors import UserError
from bot.models import chores, forgetting, policies, projects, retention
from bot.models.chores import Completed
from bot.models.database import Database
from bot.models.ids import now
from bot.models.retention import DAY, Going, Policy
from bot.settings import Settings
from bot.storage.collect import Collected, collect
from bot.storage.holdings import Holdings
from bot.storage.store import Store

logger = logging.getLogger(__name__)

_CHORE = "retention"
_AT_ONCE = 50  # deployments of one transaction
_LOOK = 60.0  # seconds between looks whether it is due
_LEFT = 86_400.0  # seconds after which a log without a build is nobody's


@dataclass(frozen=True, slots=True)
class Removed:
    """A deployment that went, or would. `size`: the bytes that it alone held."""

    id: str
    project: str
    sha: str
    ref: str
    because: str
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did, or would do. Sizes in bytes.

    `held` is what the deployments that stay hold; `budget` is 0 where there is none.
    """

    dry_run: bool
    removed: tuple[Removed, ...]
    builds: int
    collected: Collected
    held: int
    budget: int

    @property
    def over(self) -> int:
        """By how much the budget cannot be met."""
        return max(0, self.held - self.budget) if self.budget else 0

    def figures(self) -> dict[str, int]:
        """The numbers, for looking back."""
        return {
            "deployments": len(self.removed),
            "builds": self.builds,
            "contents": self.collected.contents,
            "bytes": self.collected.size,
            "bytes_later": self.collected.later,
            "kept": self.collected.kept,
            "held": self.held,
            "budget": self.budget,
            "over": self.over,
        }


@dataclass(slots=True)
class _Plan:
    """What is to go, in order, with the bytes that each alone holds."""

    holdings: Holdings
    going: list[tuple[Going, int]] = field(default_factory=list)

    def add(self, one: Going) -> None:
        self.going.append((one, self.holdings.leave_out(one.id)))


class Retention:
    """Shared by all threads of a process. `forget_source` drops what an upload was made of."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        forget_source: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._forget_source = forget_source

    def policy_of(self, project_id: int) -> Policy:
        return policies.of_project(project_id, default_policy(self._settings))

    def run_if_due(self) -> None:
        """For workers, every now and then: one of them runs it, as often as the setting says."""
        if every := self._settings.RETENTION_EVERY * 1000:
            self._in_turn(every)

    def watch(self, stopping: threading.Event) -> None:
        """Run it whenever it is due, until `stopping`."""
        every = self._settings.RETENTION_EVERY
        logs_due = 0.0
        while every and not stopping.wait(min(_LOOK, every)):
            try:
                self.run_if_due()
                if logs_due <= time.monotonic():
                    logs_due = time.monotonic() + every
                    self.forget_logs()
            except Exception:
                logger.exception("retention failed")

    def forget_logs(self) -> None:
        """Remove this machine's logs of builds that there are no more, whoever forgot them."""
        before = time.time() - _LEFT
        found = {
            path.stem: path
            for path in (self._settings.DATA_DIR / "logs").glob("*/*.log")
            if _is_older(path, before)
        }
        for build_id in found.keys() - forgetting.known_builds(found):
            found[build_id].unlink(missing_ok=True)

    def run(self) -> Report:
        """Raises `UserError` (`conflict`) while somebody else is at it, `SystemFault`."""
        report = self._in_turn()
        if report is None:
            raise UserError("conflict", "This is being done already.", "Try again in a minute.")
        return report

    def rehearse(self) -> Report:
        """What a run would do at this moment; nothing is changed. Raises `SystemFault`."""
        names = projects.names()
        plan = self._plan(names)
        builds = sum(self._count_builds(project_id) for project_id in names)
        collected = collect(self._store, dry_run=True, holdings=plan.holdings)
        return self._report(names, plan.going, builds, collected, plan.holdings, dry_run=True)

    @staticmethod
    def last() -> Completed | None:
        """When it was run last, what came of it (`Report.figures`), and of all runs together."""
        return chores.last(_CHORE)

    def _in_turn(self, every: int = 0) -> Report | None:
        """Run it, unless another process is at it or was less than `every` ms ago."""
        holder = uuid.uuid4().hex
        if not chores.take(_CHORE, holder, every):
            return None
        totals = _totals()
        result: dict[str, object] = {}
        try:
            with _renewing(holder):
                report = self._run()
            result = {
                **report.figures(),
                "deployments_total": totals["deployments_total"] + len(report.removed),
                "bytes_total": totals["bytes_total"] + report.collected.size,
            }
            return report
        except Exception as error:
            result = {**totals, "problem": str(error) or type(error).__name__}
            raise
        finally:
            chores.complete(_CHORE, holder, result)

    def _run(self) -> Report:
        for deployment_id in forgetting.gone(id_ for id_, *_ in self._store.deployments()):
            # Somebody was interrupted, or a build that was given up has published all the same.
            self._store.delete(deployment_id)
        names = projects.names()
        plan = self._plan(names)
        gone = self._remove(plan)
        builds = sum(self._forget_builds(project_id) for project_id in names)
        # A plan counts as gone what may have stayed: then everything is read again.
        held = Holdings(self._store) if plan.going else plan.holdings
        collected = collect(self._store, holdings=held)
        report = self._report(names, gone, builds, collected, held)
        _say(report)
        return report

    def _plan(self, names: dict[int, str]) -> _Plan:
        moment = now()
        plan = _Plan(Holdings(self._store))
        found = [
            one
            for project_id in names
            for one in retention.going(project_id, self.policy_of(project_id), moment)
        ]
        budget = self._settings.STORAGE_BUDGET
        if budget or any(one.due for one in found):
            plan.holdings.look()
        for one in found:
            if one.due:
                plan.add(one)
        for one in sorted(found, key=lambda one: (one.used_at, one.id)):
            if not budget or plan.holdings.size <= budget:
                break
            if not one.due:
                plan.add(one)
        return plan

    def _remove(self, plan: _Plan) -> list[tuple[Going, int]]:
        """Those of the plan that nothing needs at this moment either."""
        by_project: dict[int, list[str]] = defaultdict(list)
        for one, _ in plan.going:
            by_project[one.project_id].append(one.id)
        removed: set[str] = set()
        for project_id, wanted in by_project.items():
            policy = self.policy_of(project_id)
            for start in range(0, len(wanted), _AT_ONCE):
                with self._database.write():
                    some = wanted[start : start + _AT_ONCE]
                    gone = retention.remove(project_id, policy, some)
                for deployment_id in gone:
                    self._store.delete(deployment_id)
                    self._forget_source(deployment_id)
                removed.update(gone)
        return [(one, size) for one, size in plan.going if one.id in removed]

    def _count_builds(self, project_id: int) -> int:
        before = self._builds_before(project_id)
        return forgetting.count_old_builds(project_id, before) if before is not None else 0

    def _builds_before(self, project_id: int) -> int | None:
        days = self.policy_of(project_id).failed_days
        return now() - days * DAY if days else None

    def _forget_builds(self, project_id: int) -> int:
        """Rows and logs of what led to nothing, and the lists of files that are gone."""
        count = 0
        before = self._builds_before(project_id)
        while before is not None and (old := forgetting.old_builds(project_id, before)):
            with self._database.write(durable=False):
                dropped = forgetting.forget_builds(old)
            for build in old:
                if build.logs:
                    (self._settings.DATA_DIR / build.logs).unlink(missing_ok=True)
            for deployment_id in dropped:  # an earlier build of it may have been live
                self._store.delete(deployment_id)
            count += len(old)
        more = True
        while more:
            with self._database.write(durable=False):
                more = forgetting.forget_files(project_id)
        return count

    def _report(
        self,
        names: dict[int, str],
        going: list[tuple[Going, int]],
        builds: int,
        collected: Collected,
        held: Holdings,
        *,
        dry_run: bool = False,
    ) -> Report:
        removed = tuple(
            Removed(one.id, names[one.project_id], one.sha, one.ref, one.because, size)
            for one, size in going
        )
        budget = self._settings.STORAGE_BUDGET
        return Report(dry_run, removed, builds, collected, held.size, budget)


def default_policy(settings: Settings) -> Policy:
    """What the operator says of how long things are kept."""
    return Policy(
        closed_days=settings.RETENTION_CLOSED_DAYS,
        idle_days=settings.RETENTION_IDLE_DAYS,
        production_kept=settings.RETENTION_PRODUCTION_KEPT,
        failed_days=settings.RETENTION_FAILED_DAYS,
    )


@contextlib.contextmanager
def _renewing(holder: str) -> Iterator[None]:
    """Listing a large store takes longer than a lease lasts."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(chores.LEASE / 4000):
            with contextlib.suppress(Exception):  # the next time will do
                chores.renew(_CHORE, holder)

    thread = threading.Thread(target=renew, name="retention lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_older(path: Path, before: float) -> bool:
    """Whether a file is there, and was written last before a moment (s since 1970)."""
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:  # another process of this machine was faster
        return False


def _totals() -> dict[str, int]:
    """What all runs so far have taken away together."""
    before = chores.last(_CHORE)
    known = before.result if before is not None else {}
    return {name: int(known.get(name, 0)) for name in ("deployments_total", "bytes_total")}


def _say(report: Report) -> None:
    for one in report.removed:
        logger.info("%s of %s expired: %s", one.id, one.project, one.because)
    if report.removed or report.builds or report.collected.contents:
        logger.info(
            "retention: %d deployments and %d old builds went, %d bytes were freed",
            len(report.removed), report.builds, report.collected.size,
        )  # fmt: skip
    if report.over:
        logger.warning(
            "STORAGE_BUDGET is exceeded by %d bytes: all that is left is needed", report.over
        )
