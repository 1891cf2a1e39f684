"""What goes wrong meanwhile: killed workers, servers that restart, a GitHub in trouble."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from tests.fleet.github import GitHub
from tests.fleet.machines import Fleet
from tests.servers import Postgres, Redis


class Faults:
    """Each kind in a thread of its own, until `end`; `count` says how often each came."""

    def __init__(self, dice: random.Random) -> None:
        self.count: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self._dice = dice
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]

    def kill_workers(self, fleet: Fleet, every: tuple[float, float]) -> None:
        def kill() -> None:
            fleet.replace(self._dice.choice(fleet.workers))
            self.count["workers killed by SIGKILL"] += 1

        self._repeat(kill, every)

    def supervise(self, fleet: Fleet) -> None:
        """No fault: what any supervisor does about processes that end."""

        def look() -> None:
            if revived := fleet.revive():
                self.count["workers started again that found no database"] += revived

        self._repeat(look, (1, 1))

    def restart_redis(self, redis: Redis, every: tuple[float, float]) -> None:
        """With what it held, and then without: what is to be done is in the database."""
        forgetting = itertools.cycle((False, True))

        def restart() -> None:
            if next(forgetting):
                redis.flush()
                self.count["Redis restarted, all forgotten"] += 1
            else:
                self.count["Redis restarted"] += 1
            redis.restart()

        self._repeat(restart, every)

    def restart_postgres(
        self, postgres: Postgres, every: tuple[float, float], away: Sequence[float] = (0.0, 2.0)
    ) -> None:
        """`away`: seconds that it stays away, in turns."""
        pauses = itertools.cycle(away)

        def restart() -> None:
            pause = next(pauses)
            postgres.restart(lambda: self._over.wait(pause) and None)
            self.count["PostgreSQL restarted"] += 1

        self._repeat(restart, every)

    def trouble_github(
        self, github: GitHub, kinds: Sequence[str], lasting: float, every: tuple[float, float]
    ) -> None:
        order = itertools.cycle(kinds)

        def trouble() -> None:
            github.trouble = next(order)
            self._over.wait(lasting)
            github.trouble = ""
            self.count["bursts of GitHub's errors"] += 1

        self._repeat(trouble, every)

    def _repeat(self, fault: Callable[[], None], every: tuple[float, float]) -> None:
        def run() -> None:
            while not self._over.wait(self._dice.uniform(*every)):
                try:
                    fault()
                except BaseException as error:
                    self.errors.append(error)
                    return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)
