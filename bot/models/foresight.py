"""What each waiting build may expect: its place, when it may begin, and what it waits for.

The queue is played through as `bot.models.queue` will decide it, with the builds that run
now, the workers that are there, and how long each project's builds took. Reads alone.
"""

from __future__ import annotations

import heapq
import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bot.models import queue, sql, workers
from bot.models.database import proxy
from bot.models.ids import now

_QUEUED = """
SELECT id, project_id, priority, due_at FROM builds WHERE status = 'queued'
ORDER BY priority, project_id, due_at, id LIMIT 10000
"""
_RUNNING = """
SELECT project_id, started_at FROM builds WHERE status IN ('cloning', 'building', 'publishing')
"""
_LIMITS = "SELECT id, concurrency FROM projects WHERE concurrency IS NOT NULL"
_TOOK = """
SELECT completed_at - started_at FROM builds WHERE status = 'ready' AND project_id = ?
ORDER BY completed_at DESC LIMIT 20
"""
# So many are played through; of those behind them only the place is told.
_FORESEEN = 200
_SOON = 3.0  # seconds
_KEPT = 1.0  # seconds that an answer is good for
_DURATIONS_KEPT = 60.0  # seconds
_PROJECTS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """`seconds` until it may begin; `None`: that cannot be told. `reason` is for people."""

    place: int
    seconds: float | None
    reason: str

    @property
    def text(self) -> str:
        """Such as `3rd in the queue, about 2 min, waiting for the project's limit of 1`."""
        # Who is about to begin needs no number.
        seconds = self.seconds or 0
        about = f", about {_duration(seconds)}" if seconds >= _SOON else ""
        return f"{_ordinal(self.place)} in the queue{about}, {self.reason}"


@dataclass(frozen=True, slots=True)
class _Queued:
    id: str
    project_id: int
    priority: int
    due_at: int


_lock = threading.Lock()
_answers: dict[tuple[object, int], tuple[float, Mapping[str, Waiting]]] = {}
_durations: dict[tuple[object, int], tuple[float, float]] = {}


def waiting(limit: int) -> Mapping[str, Waiting]:
    """Every queued build's prospects, by its id, in the order in which they will begin.

    `limit` as for `queue.next_build`. An answer may be a second old.
    """
    key, moment = (proxy.obj, limit), time.monotonic()
    with _lock:
        known = _answers.get(key)
        if known is None or moment - known[0] > _KEPT:
            _answers.clear()
            _answers[key] = known = (moment, _foresee(limit))
        return known[1]


def _foresee(limit: int) -> dict[str, Waiting]:
    queued = [_Queued(*row) for row in sql.rows(_QUEUED)]
    if not queued:
        return {}
    present = workers.present()
    running = [(int(project), int(started)) for project, started in sql.rows(_RUNNING)]
    limits = {int(project): int(own) for project, own in sql.rows(_LIMITS)}
    played = _Played(
        list(_in_turn(queued)),
        running,
        sum(worker.slots for worker in present),
        lambda project_id: limits.get(project_id, limit),
    )
    return dict(played.prospects())


def _in_turn(queued: list[_Queued]) -> Iterator[_Queued]:
    """Priority by priority, and within one the projects in turns."""
    turns = queue.turns()
    for priority in sorted({one.priority for one in queued}):
        last = turns.get(priority, 0)
        lines: dict[int, deque[_Queued]] = {}
        for one in queued:
            if one.priority == priority:
                lines.setdefault(one.project_id, deque()).append(one)
        order = deque(
            [lines[p] for p in lines if p > last] + [lines[p] for p in lines if p <= last]
        )
        while order:
            line = order.popleft()
            yield line.popleft()
            if line:
                order.append(line)


class _Played:
    """The queue's next hours, as far as they can be told. Times are ms from now."""

    def __init__(
        self,
        order: list[_Queued],
        running: list[tuple[int, int]],
        slots: int,
        allowed: Callable[[int], int],
    ) -> None:
        self._order = order
        self._allowed = allowed
        self._time = now()
        self._slots = slots
        self._held: dict[int, int] = {}
        self._ends: list[tuple[float, int]] = []
        for project_id, started in running:
            self._begin(project_id, -(self._time - started))
        self._held_now = dict(self._held)
        self._free_now = max(0, slots - len(running))

    def prospects(self) -> Iterator[tuple[str, Waiting]]:
        ahead: dict[int, int] = {}
        for place, (one, begins) in enumerate(self._begun(), 1):
            seconds = begins / 1000 if begins is not None else None
            reason = self._reason(one, place, ahead.get(one.project_id, 0))
            ahead[one.project_id] = ahead.get(one.project_id, 0) + 1
            yield one.id, Waiting(place, seconds, reason)

    def _begun(self) -> Iterator[tuple[_Queued, float | None]]:
        """Builds in the order in which they begin, and when, as far as that can be told."""
        left, moment = deque(self._order[:_FORESEEN]), 0.0
        while left and self._slots and moment < math.inf:
            chosen = next((one for one in left if self._may_begin(one, moment)), None)
            if chosen is not None:
                left.remove(chosen)
                yield chosen, moment
                self._begin(chosen.project_id, moment)
            elif self._ends:
                end, project_id = heapq.heappop(self._ends)
                self._held[project_id] -= 1
                moment = max(moment, end)
            else:  # all that is left is to be repeated later
                moment = max(moment + 1, min(one.due_at for one in left) - self._time)
        for one in (*left, *self._order[_FORESEEN:]):
            yield one, None

    def _may_begin(self, one: _Queued, moment: float) -> bool:
        most = self._allowed(one.project_id)
        return (
            len(self._ends) < self._slots
            and one.due_at <= self._time + moment
            and (not most or self._held.get(one.project_id, 0) < most)
        )

    def _begin(self, project_id: int, moment: float) -> None:
        self._held[project_id] = self._held.get(project_id, 0) + 1
        # Nobody knows when one ends whose project has had none yet. One that takes longer
        # than others did may end at any moment.
        heapq.heappush(self._ends, (max(moment + _took(project_id), 0), project_id))

    def _reason(self, one: _Queued, place: int, ahead: int) -> str:
        most = self._allowed(one.project_id)
        if not self._slots:
            return "waiting for a worker: none is running"
        if one.due_at > self._time:
            return "to be repeated after a fault on our side"
        if most and self._held_now.get(one.project_id, 0) + ahead >= most:
            return f"waiting for the project's limit of {most}"
        return "about to begin" if place <= self._free_now else "waiting for a free worker"


def _took(project_id: int) -> float:
    """The median of how long a project's last builds took, in ms; infinite: it has none."""
    key, moment = (proxy.obj, project_id), time.monotonic()
    known = _durations.get(key)
    if known is not None and moment - known[0] < _DURATIONS_KEPT:
        return known[1]
    found = [int(took) for (took,) in sql.rows(_TOOK, project_id) if took is not None]
    median = float(statistics.median(found)) if found else math.inf
    if len(_durations) > _PROJECTS_KEPT:
        _durations.clear()
    _durations[key] = (moment, median)
    return median


def _duration(seconds: float) -> str:
    if seconds < 55:
        return f"{max(5, round(seconds / 5) * 5)} s"
    return f"{max(1, round(seconds / 60))} min"


def _ordinal(number: int) -> str:
    """https://en.wikipedia.org/wiki/Ordinal_indicator#English"""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
