"""The programs that builds call: Node and the package managers, in the versions asked for.

It puts together what `node`, `package_managers` and `registries` provide. Everything
fetched is shared by all builds, which see it read-only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.builders.job import BuildLog
from bot.builders.node import Nodes
from bot.builders.package_managers import provide_package_manager
from bot.builders.plan import UV, Plan
from bot.builders.python import Pythons, provide_uv
from bot.builders.registries import registries
from bot.builders.toolchain_store import ToolchainStore


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """What a build's commands are given: folders for PATH, places to read, variables.

    `name` is `node` or `python` and `version` its; `manager` is the package manager, Node's
    with its version. All are empty for a build with neither. None of it holds the operator's
    passwords.
    """

    name: str = ""
    version: str = ""
    manager: str = ""
    path_entries: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Toolchains:
    """All toolchains of this machine; those that are fetched are kept in `root`.

    `environ` is the environment in which pip and npm are configured: the bot's own.
    """

    def __init__(self, root: Path, environ: Mapping[str, str] | None = None) -> None:
        self.store = ToolchainStore(root, os.environ if environ is None else environ)
        self._nodes = Nodes(self.store)
        self._pythons = Pythons(self.store)

    def provide(self, plan: Plan, log: BuildLog) -> Toolchain:
        """What the plan's commands need.

        Raises `UserError` where a version is asked for that cannot be had, and
        `SystemFault` where it cannot be fetched.
        """
        reach = registries(
            self.store.root / "registries", trusted=False, environ=self.store.environ
        )
        if not plan.package_manager:
            return Toolchain(readable=reach.readable, environment=reach.environment)
        if plan.package_manager == UV:
            python, uv = self._pythons.choose(plan.python, log), provide_uv(self.store)
            log.say(f"Python {python.version}")
            return Toolchain(
                name="python",
                version=python.version,
                manager=UV,
                path_entries=(uv / "bin",),
                readable=(*reach.readable, uv, *python.readable),
                environment={**reach.environment, "UV_PYTHON": str(python.program)},
            )
        node = self._nodes.choose(plan.node, log)
        name, asked = plan.package_manager, plan.package_manager_version
        manager = provide_package_manager(name, asked, node, self.store, log)
        log.say(f"Node {node.version}, {manager.title}")
        return Toolchain(
            name="node",
            version=node.version,
            manager=manager.title,
            path_entries=(*manager.path_entries, *node.path_entries),
            readable=(*reach.readable, *manager.readable, *node.readable),
            environment=reach.environment,
        )
