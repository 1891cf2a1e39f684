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
from bot.builders.plan import Plan
from bot.builders.registries import registries
from bot.builders.toolchain_store import ToolchainStore


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """What a build's commands are given: folders for PATH, places to read, variables.

    `name` is `node` and `version` Node's; `manager` is the package manager with its
    version. All are empty for a build without Node. None of it holds the operator's
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
