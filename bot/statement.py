"""What is signed of a deployment: an in-toto statement with SLSA provenance.

It says which files there are, of which sources they were made, how, and by whom. It is read by
anybody who may see the deployment, so it names variables and never has their values.
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
https://slsa.dev/spec/v1.1/provenance
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot import __version__
from bot.builders.job import Built, Origin
from bot.builders.plan import Plan
from bot.dsse import PREDICATE_TYPE, STATEMENT_TYPE
from bot.models.tables import Build, Deployment
from bot.project_name import repository_of
from bot.settings import LOCAL_OWNER, Settings
from bot.storage import checksums

# docs/provenance.md has what a build of this type is, and what its parameters mean.
BUILD_TYPE = "urn:deploystack:build:v1"


def statement(
    build: Build,
    built: Built,
    stages: Mapping[str, float],
    log: str,
    finished: int,
    settings: Settings,
) -> dict[str, Any]:
    """`log` is the SHA-256 of the build's log; `finished` is in ms, `stages` in seconds."""
    files = built.manifest.files
    listed = checksums.digest(checksums.of_entries(files))
    origin = built.origin or Origin()
    page = settings.build_url(build.id)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": build.deployment.id, "digest": {"sha256": listed}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked(build.deployment, built),
                "internalParameters": _done(built, origin),
                "resolvedDependencies": _sources(build.deployment, built, origin, settings),
            },
            "runDetails": {
                "builder": {"id": settings.PUBLIC_URL, "version": {"deploystack": __version__}},
                "metadata": {
                    "invocationId": page,
                    "startedOn": _time(build.started_at or build.created_at),
                    "finishedOn": _time(finished),
                },
                "byproducts": [
                    {"name": "log", "uri": f"{page}/log", "digest": {"sha256": log}},
                    {
                        "name": "files.sha256",
                        "digest": {"sha256": listed},
                        "annotations": {
                            "files": len(files),
                            "size": sum(entry.size for entry in files.values()),
                        },
                    },
                ],
                "deploystack_stages": {name: round(taken, 4) for name, taken in stages.items()},
                "deploystack_reused": origin.reused,
            },
        },
    }


def _asked(deployment: Deployment, built: Built) -> dict[str, Any]:
    """What whoever asked for the deployment decided."""
    return {
        "project": deployment.project.name,
        "commit": deployment.sha or "",
        "ref": deployment.ref,
        "source": deployment.source,
        "environment": deployment.environment,
        "trusted": bool(deployment.trusted),
        "basePath": built.manifest.base,
        "requestedOn": _time(deployment.created_at),
    }


def _done(built: Built, origin: Origin) -> dict[str, Any]:
    """What the bot decided."""
    found: dict[str, Any] = {"framework": built.framework, "tools": origin.tools}
    if built.plan is not None:
        found |= {"plan": _described(built.plan), "planDigest": {"sha256": _digest(built.plan)}}
    return found


def _described(plan: Plan) -> dict[str, Any]:
    return {
        "reason": plan.reason,
        "root": plan.root,
        "steps": [
            {"name": step.name, "command": list(step.argv), "network": step.network}
            for step in plan.steps
        ],
        "outputs": list(plan.outputs),
        "basePath": plan.base_path,
        "singlePage": plan.spa,
        "packageManager": f"{plan.package_manager} {plan.package_manager_version}".strip(),
        "node": plan.node,
        "python": plan.python,
        "network": plan.network,
        "limits": dict(plan.limits),
        "decided": list(plan.decided),
        "variables": sorted({*plan.environment, *plan.variables}),
        "files": {name: hashlib.sha256(text.encode()).hexdigest()
                  for name, text in plan.files.items()},
    }  # fmt: skip


def _digest(plan: Plan) -> str:
    """Of the whole plan, with what is only named above."""
    return hashlib.sha256(msgspec.json.encode(plan, order="sorted")).hexdigest()


def _sources(
    deployment: Deployment, built: Built, origin: Origin, settings: Settings
) -> list[dict[str, Any]]:
    """https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md"""
    source: dict[str, Any] = {"name": "source"}
    if deployment.sha:
        repository = repository_of(deployment.project.name)
        if not repository.startswith(f"{LOCAL_OWNER}/"):
            ref = deployment.ref
            whole = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
            whole = f"refs/{ref}" if ref.startswith("pull/") and ref.endswith("/head") else whole
            source["uri"] = f"git+{settings.GITHUB_SERVER_URL}/{repository}@{whole}"
        source["digest"] = {"gitCommit": deployment.sha}
        source["digest"] |= {"gitTree": origin.tree} if origin.tree else {}
    elif origin.commit:
        source |= {"uri": f"git+{origin.repository}", "digest": {"gitCommit": origin.commit}}
    elif origin.upload:
        source["digest"] = {"sha256": origin.upload}
    found = [source] if "digest" in source else []
    if origin.lockfile and built.plan is not None:
        digest = {"sha256": origin.lockfile}
        found.append({"name": "lockfile", "uri": built.plan.lockfile, "digest": digest})
    return found


def _time(milliseconds: int) -> str:
    """https://www.rfc-editor.org/rfc/rfc3339"""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
