"""Whether an earlier build's output may be published again, instead of building the same.

What a build depends on comes to one digest, its fingerprint: the sources that it reads, its
plan, its variables. A plan that passes the base path on names it, so that builds for
`/<sha>/` are never the same, and those for `/`, or with relative links, are. An output that
names its own commit all the same is kept from serving another (`Mentions`).

What no digest covers: the time of day, and what a build fetches for itself; whoever needs
that says `build.reuse = false`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from bot.builders.job import Job, Origin
from bot.builders.plan import Plan
from bot.builders.reads import digests
from bot.builders.source import Source
from bot.builders.toolchain import Toolchain
from bot.builders.tree import Tree

_FORMAT = 1


def origin_of(source: Source, plan: Plan, job: Job) -> Origin:
    """What is known of a deployment's origin before anything is run."""
    repeatable = plan.steps and plan.reuse and not _names_its_address(plan, job)
    return Origin(
        tree=source.tree_id(),
        lockfile=lockfile_digest(source.tree, plan),
        fingerprint=fingerprint(source, plan, job) if repeatable else "",
    )


def _names_its_address(plan: Plan, job: Job) -> bool:
    """Whether the plan itself can be no other deployment's: then nothing need be digested."""
    address = job.base_path.strip("/")
    return bool(address) and address.encode() in msgspec.json.encode(plan)


def lockfile_digest(tree: Tree, plan: Plan) -> str:
    """SHA-256 in hex; empty: there is no lockfile."""
    there = bool(plan.lockfile) and plan.lockfile in tree.files
    return hashlib.sha256(tree.read(plan.lockfile)).hexdigest() if there else ""


def fingerprint(source: Source, plan: Plan, job: Job) -> str:
    """What a build's output depends on but for its tools, as SHA-256 in hex."""
    secret = {name: value.reveal() for name, value in job.variables.secret.items()}
    facts = (
        _FORMAT,
        digests(source, plan),
        plan,
        sorted({**job.variables.plain, **secret}.items()),
        (job.project, job.environment, job.ref, job.trusted),
    )
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()


def tools_of(toolchain: Toolchain, plan: Plan) -> str:
    """The programs that a build was made with, by version, or by what the machine's are."""
    own = [toolchain.name, toolchain.version, toolchain.manager]
    for program in plan.programs:
        path = shutil.which(program)
        about = os.stat(path) if path else None
        own.append(f"{program}:{about.st_size}:{about.st_mtime_ns}" if about else program)
    return " ".join(filter(None, own))


class Mentions:
    """Whether any file names the commit or the deployment that it belongs to."""

    def __init__(self, job: Job) -> None:
        self._names = [name.encode() for name in (job.sha[:7], job.deployment_id) if name]
        self.found = False

    def look_at(self, _path: str, content: bytes) -> None:
        if not self.found:
            self.found = any(name in content for name in self._names)

    def look_into(self, _path: str, _file: Path) -> None:
        self.found = True  # for all that is known
