"""Who changed what, and when. Entries are only ever added.

Callers hold the transaction of the change itself: both are recorded, or neither.
"""

from __future__ import annotations

import json

from bot.models.ids import now
from bot.models.tables import AuditEntry


def note(actor: str, action: str, subject: str, *, project: str = "", **details: object) -> None:
    """`action` is such as `deployment.delete`; `details` must hold no secret.

    `project`: the name of the project that was touched, whose owners see the entry.
    """
    AuditEntry.create(
        at=now(),
        actor=actor,
        action=action,
        subject=subject,
        project=project,
        details=json.dumps(details),
    )
