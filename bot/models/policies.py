"""How long a project's deployments are kept, where that is not as the operator says.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from bot.models import sql
from bot.models.ids import now
from bot.models.retention import Policy

NAMES = ("closed_days", "idle_days", "production_kept", "failed_days")
_COLUMNS = ", ".join(NAMES)
_FIND = f"SELECT {_COLUMNS} FROM retention WHERE project_id = ?"
_PUT = f"""
INSERT INTO retention (project_id, {_COLUMNS}, updated_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in NAMES)}, updated_at = excluded.updated_at
"""


def own(project_id: int) -> dict[str, int | None]:
    """What a project says itself; `None`: as the operator says."""
    found = sql.first(_FIND, project_id) or (None,) * len(NAMES)
    return dict(zip(NAMES, found, strict=True))


def put(project_id: int, values: Mapping[str, int | None]) -> None:
    """Set all that a project says itself; what is left out is as the operator says."""
    sql.execute(_PUT, project_id, *(values.get(name) for name in NAMES), now())


def of_project(project_id: int, default: Policy) -> Policy:
    """What holds for a project; `default` is the operator's."""
    said = {name: value for name, value in own(project_id).items() if value is not None}
    return Policy(**asdict(default) | said)
