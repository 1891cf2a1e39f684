"""The tables of the queue and of whoever works it off; see `bot.models.tables`."""

from __future__ import annotations

import peewee as pw

from bot.models.tables import Build, Table


class Turn(Table):
    """The project that was served last, of each priority: the next one's turn comes after it."""

    priority = pw.IntegerField(primary_key=True)
    project_id = pw.IntegerField()

    class Meta:
        table_name = "turns"


class WorkerProcess(Table):
    """A process that runs builds. One whose lease has run out is gone."""

    id = pw.TextField(primary_key=True)
    host = pw.TextField()
    slots = pw.IntegerField()  # builds that it runs at a time
    started_at = pw.BigIntegerField()
    lease_until = pw.BigIntegerField()

    class Meta:
        table_name = "workers"


class LogPart(Table):
    """A portion of a build's log, compressed, where machines share no folder (`bot.logs`)."""

    build_id: str
    build = pw.ForeignKeyField(Build, on_delete="CASCADE", index=False)
    start = pw.IntegerField()  # where in the log it begins, in bytes
    size = pw.IntegerField()  # uncompressed
    content = pw.BlobField()

    class Meta:
        table_name = "log_parts"
        primary_key = pw.CompositeKey("build", "start")
