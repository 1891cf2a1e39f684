"""Custom domains: claimed by projects, proven, and looked at again and again.

Several projects may claim a name; it is served for the one that proved to own it, and
for nobody before. How a proof is looked for is not decided here (`bot.domains`).
Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

import re
import secrets
from enum import StrEnum

from bot.errors import UserError
from bot.models import sql
from bot.models.ids import now
from bot.models.tables import Domain

_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000  # ms
# A proven domain is looked at every few hours; only when its proof has been missing for
# as long as this is it served no more: name servers have bad days.
_AGAIN = 6 * _HOUR
_GRACE = 3 * _DAY
_MOST = 50  # of one project


class DomainState(StrEnum):
    PENDING = "pending"
    VERIFIED = "verified"


def claim(project_id: int, name: str) -> Domain:
    """Claim a domain for a project; it is pending until its proof is found.

    Raises `UserError`: `invalid-domain`, `conflict` where another project has proven it,
    `too-many-domains`.
    """
    clean = name.strip().lower().rstrip(".")
    if len(clean) > 253 or not _NAME.fullmatch(clean):
        raise UserError("invalid-domain", "That is no domain name.", "Such as www.example.org.")
    known: Domain | None = Domain.get_or_none(Domain.project == project_id, Domain.name == clean)
    if known is not None:
        return known
    if _owner(clean) is not None:
        raise UserError("conflict", "The domain leads to another project.")
    if len(of_project(project_id)) >= _MOST:
        raise UserError("too-many-domains", f"A project has {_MOST} domains at most.")
    time = now()
    created: Domain = Domain.create(
        project=project_id,
        name=clean,
        proof=f"deploystack={secrets.token_hex(16)}",
        created_at=time,
        due_at=time,
    )
    return created


def of_project(project_id: int) -> list[Domain]:
    return list(Domain.select().where(Domain.project == project_id).order_by(Domain.name))


def find(project_id: int, name: str) -> Domain:
    """Raises `UserError`: `domain-not-found`."""
    found: Domain | None = Domain.get_or_none(
        Domain.project == project_id, Domain.name == name.lower()
    )
    if found is None:
        raise UserError("domain-not-found", "The project has no such domain.")
    return found


def release(project_id: int, name: str) -> bool:
    """Take a domain away from a project; `False`: it has no such domain."""
    mine = (Domain.project == project_id) & (Domain.name == name.lower())
    return bool(Domain.delete().where(mine).execute())


def due(time: int, limit: int) -> list[Domain]:
    """Those to be looked at by `time` (ms), the longest due first."""
    return list(Domain.select().where(Domain.due_at <= time).order_by(Domain.due_at).limit(limit))


def note_proof(domain: Domain, problem: str) -> Domain:
    """Record what a look found: nothing missing (`problem` is empty), or what is.

    Of several projects that could prove a domain, the one that did so first keeps it.
    """
    time = now()
    owner = _owner(domain.name)
    if not problem and owner not in (None, domain.project_id):
        problem = "Another project has proven this domain."
    if not problem:
        changes: dict[str, object] = {
            "state": DomainState.VERIFIED, "verified_at": time, "due_at": time + _AGAIN,
        }  # fmt: skip
    elif domain.state == DomainState.VERIFIED and time - (domain.verified_at or 0) < _GRACE:
        changes = {"due_at": time + _HOUR}
    else:
        age = time - domain.created_at
        # Often while somebody waits for it, seldom when nobody does any more.
        pause = _MINUTE if age < _HOUR else (_HOUR if age < 7 * _DAY else _DAY)
        changes = {"state": DomainState.PENDING, "due_at": time + pause}
    Domain.update(problem=problem, **changes).where(Domain.id == domain.id).execute()
    found: Domain = Domain.get_by_id(domain.id)
    return found


_LEADS_TO = """
SELECT a.deployment_id FROM domains d
JOIN aliases a ON a.project_id = d.project_id AND a.kind = 'production'
WHERE d.name = ? AND d.state = 'verified' ORDER BY d.id LIMIT 1
"""


def leads_to(name: str) -> str:
    """Id of the deployment that a proven domain shows: its project's production; else empty."""
    found = sql.first(_LEADS_TO, name)
    return str(found[0]) if found is not None else ""


def _owner(name: str) -> int | None:
    """The project that has proven a domain."""
    verified = Domain.state == DomainState.VERIFIED
    row: Domain | None = Domain.get_or_none(Domain.name == name, verified)
    return row.project_id if row is not None else None
