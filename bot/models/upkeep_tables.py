"""The tables of retention and of other upkeep; see `bot.models.tables`."""

from __future__ import annotations

import peewee as pw

from bot.models.tables import Project, Table


class Retention(Table):
    """How long a project's deployments are kept, where not as the operator says. Days; 0: ever."""

    project_id: int
    project = pw.ForeignKeyField(Project, primary_key=True, on_delete="CASCADE")
    closed_days = pw.IntegerField(null=True)
    idle_days = pw.IntegerField(null=True)
    production_kept = pw.IntegerField(null=True)
    failed_days = pw.IntegerField(null=True)
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "retention"


class Chore(Table):
    """What one worker of all does now and then, who is at it, and what came of it last."""

    name = pw.TextField(primary_key=True)
    holder = pw.TextField(default="")
    lease_until = pw.BigIntegerField(default=0)
    completed_at = pw.BigIntegerField(default=0)
    result = pw.TextField(default="{}")  # JSON

    class Meta:
        table_name = "chores"
