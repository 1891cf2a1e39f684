"""What a delivery came to, as its sender is answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a delivery came to. `woken`: builds that a worker should be told of."""

    accepted: bool
    reason: str = ""
    deployment_id: str = ""
    build_id: str = ""
    sha: str = ""
    woken: tuple[str, ...] = ()
    # Whether there is something to tell or ask GitHub, though nothing to build.
    telling: bool = False
