"""What is to be at an address where nothing is live yet: for pages that say so."""

from __future__ import annotations

from dataclasses import dataclass

from bot.models import sql
from bot.models.addresses import address, slug
from bot.models.status import AliasKind

_REFS = f"""
SELECT r.name, d.id FROM refs r JOIN deployments d ON d.sha = r.sha
WHERE d.project_id = ? AND r.project_id = {sql.REPOSITORY} AND NOT r.deleted
"""
_HEADS = f"""
SELECT p.number, d.id FROM pull_requests p JOIN deployments d ON d.sha = p.head_sha
WHERE d.project_id = ? AND p.project_id = {sql.REPOSITORY} AND p.open
"""
_AWAITING = """
SELECT j.name, p.number FROM pull_requests p JOIN projects j ON j.id = p.project_id
WHERE p.head_sha = ? AND p.fork AND p.open LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Awaiting:
    """A fork's pull request whose commit nobody has approved."""

    project: str
    number: int


def deployment_for(wanted: str) -> str:
    """Id of the deployment that an alias's address will lead to when it is live; else empty.

    Asked only where no alias has the address, so it may look at every project's name.
    """
    for project_id, name, production in sql.rows(
        "SELECT id, name, production_branch FROM projects"
    ):
        if not wanted.endswith(slug(name)):
            continue
        branches = dict(sql.rows(_REFS, project_id, project_id))
        if wanted == address(AliasKind.PRODUCTION, "production", name):
            return str(branches.get(production, ""))
        for kind, rows in (
            (AliasKind.PULL_REQUEST, sql.rows(_HEADS, project_id, project_id)),
            (AliasKind.BRANCH, list(branches.items())),
        ):
            for label, deployment_id in rows:
                if address(kind, str(label), name) == wanted:
                    return str(deployment_id)
    return ""


def awaiting_approval(sha: str) -> Awaiting | None:
    """The pull request whose newest commit is `sha`, if that is a fork's.

    Asked only of commits without a deployment: approval makes one.
    """
    found = sql.first(_AWAITING, sha)
    return Awaiting(*found) if found is not None else None
