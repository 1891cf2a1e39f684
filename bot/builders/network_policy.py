"""Which commands of a build have a network: what the operator allows, narrowed by others.

A project's deploystack.toml may only take away, and so does where the code comes from: a
fork's may install what it needs, and then speaks to nobody. What "a network" reaches is
the sandbox's affair (`bot.builders.sandbox.network`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from bot.builders.plan import Plan
from bot.errors import UserError


class Network(StrEnum):
    """From the widest to the narrowest."""

    FULL = "full"
    INSTALL_ONLY = "install-only"
    NONE = "none"


_STEPS: Mapping[Network, frozenset[str]] = {
    Network.FULL: frozenset({"install", "build"}),
    Network.INSTALL_ONLY: frozenset({"install"}),
    Network.NONE: frozenset(),
}
_BY_OPERATOR, _BY_PROJECT, _BY_FORK = "BUILD_NETWORK", "build.network", "the code is a fork's"


def narrowed(plan: Plan, operator: str, *, trusted: bool) -> tuple[Plan, str]:
    """The plan with the networks that its steps may have, and who took away the rest.

    Empty: nobody did.
    """
    wishes = {_BY_OPERATOR: Network(operator), _BY_PROJECT: Network(plan.network)}
    if not trusted:
        wishes[_BY_FORK] = Network.INSTALL_ONLY
    order = list(Network)
    by, chosen = max(wishes.items(), key=lambda wish: order.index(wish[1]))
    allowed = _STEPS[chosen]
    steps = tuple(
        replace(step, network=step.network and step.name in allowed) for step in plan.steps
    )
    reason = "" if chosen is Network.FULL else by
    return replace(plan, steps=steps, network=str(chosen)), reason


def assure_confined(plan: Plan, *, trusted: bool, confines: bool) -> None:
    """Raise `UserError` where a runner that confines nothing would have to."""
    if confines or not plan.steps:
        return
    if not trusted:
        raise UserError(
            "fork-not-confined",
            "Builds of this host run without a sandbox, so it builds no code of forks.",
            "Ask the operator to install bubblewrap (docs/sandbox.md), or push the commit to a "
            "branch of the repository itself.",
        )
    if plan.network != Network.FULL:
        raise UserError(
            "network-not-closed",
            f"The network cannot be closed (`{plan.network}`): builds of this host run "
            "without a sandbox.",
            "Leave build.network out, or ask the operator to install bubblewrap.",
        )
