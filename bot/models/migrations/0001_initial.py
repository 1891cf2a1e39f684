"""The first schema: a frozen copy of the tables as released in 0.1.0."""

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class User(Table):
    login = pw.TextField(unique=True)
    role = pw.TextField(default="member")
    created_at = pw.BigIntegerField()

    class Meta:
        table_name = "users"


class Project(Table):
    name = pw.TextField(unique=True)
    main = pw.ForeignKeyField("self", null=True, on_delete="CASCADE")
    production_branch = pw.TextField(default="main")
    installation_id = pw.BigIntegerField(null=True)
    private = pw.BooleanField(default=False)
    state = pw.TextField(default="active")
    state_note = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    concurrency = pw.IntegerField(null=True)
    toolbar = pw.BooleanField(default=False, constraints=[pw.SQL("DEFAULT FALSE")])
    build_on_visit = pw.BooleanField(default=False, constraints=[pw.SQL("DEFAULT FALSE")])
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "projects"


class Membership(Table):
    user = pw.ForeignKeyField(User, on_delete="CASCADE", index=False)
    project = pw.ForeignKeyField(Project, on_delete="CASCADE")
    role = pw.TextField()
    created_at = pw.BigIntegerField()

    class Meta:
        table_name = "memberships"
        indexes = ((("user", "project"), True),)


class Delivery(Table):
    guid = pw.TextField(primary_key=True)
    event = pw.TextField()
    digest = pw.TextField()
    outcome = pw.TextField()
    reason = pw.TextField(default="")
    attempts = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    data = pw.TextField(default="")
    received_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "deliveries"
        indexes = (
            pw.SQL(
                "CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (received_at) "
                "WHERE outcome = 'failed'"
            ),
        )


class Ref(Table):
    project = pw.ForeignKeyField(Project, backref="refs", on_delete="CASCADE", index=False)
    name = pw.TextField()
    sha = pw.TextField()
    deleted = pw.BooleanField(default=False)
    moved_at = pw.BigIntegerField()

    class Meta:
        table_name = "refs"
        indexes = ((("project", "name"), True), (("project", "sha"), False))


class PullRequest(Table):
    project = pw.ForeignKeyField(Project, backref="pull_requests", on_delete="CASCADE", index=False)
    number = pw.IntegerField()
    head_sha = pw.TextField()
    head_ref = pw.TextField()
    fork = pw.BooleanField(default=False)
    open = pw.BooleanField(default=True)
    moved_at = pw.BigIntegerField()
    comment_id = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "pull_requests"
        indexes = ((("project", "number"), True), (("project", "head_sha"), False))


class Approval(Table):
    project = pw.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    number = pw.IntegerField()
    sha = pw.TextField()
    source = pw.TextField()
    actor = pw.TextField()
    comment_id = pw.BigIntegerField(null=True)
    state = pw.TextField()
    reason = pw.TextField(default="")
    created_at = pw.BigIntegerField()
    decided_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "approvals"
        indexes = ((("project", "sha"), False),)


class Deployment(Table):
    id = pw.TextField(primary_key=True)
    user = pw.ForeignKeyField(User, null=True, on_delete="SET NULL", index=False)
    project = pw.ForeignKeyField(Project, backref="deployments", on_delete="CASCADE", index=False)
    sha = pw.TextField(null=True)
    ref = pw.TextField(default="")
    source = pw.TextField()
    environment = pw.TextField(default="preview")
    trusted = pw.BooleanField(default=True)
    status = pw.TextField()
    remote_id = pw.BigIntegerField(null=True)
    fingerprint = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    tools = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "deployments"
        indexes = (
            (("sha", "project"), True),
            (("project", "created_at"), False),
            (("project", "fingerprint"), False),
            (("project", "id"), False),
            (("status", "id"), False),
        )


class Build(Table):
    id = pw.TextField(primary_key=True)
    deployment = pw.ForeignKeyField(Deployment, backref="builds", on_delete="CASCADE", index=False)
    status = pw.TextField()
    logs = pw.TextField(default="")
    framework = pw.TextField(default="")
    stages = pw.TextField(default="{}")
    error_code = pw.TextField(default="")
    error_message = pw.TextField(default="")
    warnings = pw.TextField(null=True)
    attempts = pw.IntegerField(default=0)
    worker = pw.TextField(default="")
    delivery = pw.TextField(default="")
    lease_until = pw.BigIntegerField(default=0)
    fresh = pw.BooleanField(default=False, constraints=[pw.SQL("DEFAULT FALSE")])
    project_id = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    priority = pw.IntegerField(default=1, constraints=[pw.SQL("DEFAULT 1")])
    due_at = pw.BigIntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    told = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    created_at = pw.BigIntegerField()
    started_at = pw.BigIntegerField(null=True)
    completed_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "builds"
        indexes = (
            (("status", "created_at"), False),
            (("deployment", "created_at"), False),
            (("status", "id"), False),
            (("project_id", "id"), False),
            pw.SQL(
                "CREATE INDEX IF NOT EXISTS builds_waiting "
                "ON builds (priority, project_id, due_at, id) WHERE status = 'queued'"
            ),
            pw.SQL(
                "CREATE INDEX IF NOT EXISTS builds_running ON builds (project_id, started_at) "
                "WHERE status IN ('cloning', 'building', 'publishing')"
            ),
            pw.SQL(
                "CREATE INDEX IF NOT EXISTS builds_ready ON builds (project_id, completed_at) "
                "WHERE status = 'ready'"
            ),
        )


class Turn(Table):
    priority = pw.IntegerField(primary_key=True)
    project_id = pw.IntegerField()

    class Meta:
        table_name = "turns"


class WorkerProcess(Table):
    id = pw.TextField(primary_key=True)
    host = pw.TextField()
    slots = pw.IntegerField()
    started_at = pw.BigIntegerField()
    lease_until = pw.BigIntegerField()

    class Meta:
        table_name = "workers"


class LogPart(Table):
    build = pw.ForeignKeyField(Build, on_delete="CASCADE", index=False)
    start = pw.IntegerField()
    size = pw.IntegerField()
    content = pw.BlobField()

    class Meta:
        table_name = "log_parts"
        primary_key = pw.CompositeKey("build", "start")


class File(Table):
    deployment = pw.ForeignKeyField(Deployment, backref="files", on_delete="CASCADE", index=False)
    path = pw.TextField()
    size = pw.BigIntegerField()
    mime_type = pw.TextField()
    digest = pw.TextField()

    class Meta:
        table_name = "files"
        indexes = ((("deployment", "path"), True),)


class Alias(Table):
    project = pw.ForeignKeyField(Project, backref="aliases", on_delete="CASCADE", index=False)
    kind = pw.TextField()
    name = pw.TextField()
    address = pw.TextField(default="", index=True)
    deployment = pw.ForeignKeyField(Deployment, on_delete="CASCADE")
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "aliases"
        indexes = ((("project", "kind", "name"), True),)


class Access(Table):
    project = pw.ForeignKeyField(Project, primary_key=True, on_delete="CASCADE")
    kind = pw.TextField()
    password = pw.TextField(default="")
    signing_key = pw.TextField()
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "access"


class Retention(Table):
    project = pw.ForeignKeyField(Project, primary_key=True, on_delete="CASCADE")
    closed_days = pw.IntegerField(null=True)
    idle_days = pw.IntegerField(null=True)
    production_kept = pw.IntegerField(null=True)
    failed_days = pw.IntegerField(null=True)
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "retention"


class Chore(Table):
    name = pw.TextField(primary_key=True)
    holder = pw.TextField(default="")
    lease_until = pw.BigIntegerField(default=0)
    completed_at = pw.BigIntegerField(default=0)
    result = pw.TextField(default="{}")

    class Meta:
        table_name = "chores"


class Domain(Table):
    project = pw.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    name = pw.TextField(index=True)
    proof = pw.TextField()
    state = pw.TextField(default="pending")
    problem = pw.TextField(default="")
    created_at = pw.BigIntegerField()
    verified_at = pw.BigIntegerField(null=True)
    due_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "domains"
        indexes = ((("project", "name"), True),)


class Traffic(Table):
    deployment = pw.ForeignKeyField(Deployment, on_delete="CASCADE")
    hour = pw.BigIntegerField()
    status = pw.IntegerField()
    requests = pw.BigIntegerField()
    size = pw.BigIntegerField()

    class Meta:
        table_name = "traffic"
        indexes = ((("deployment", "hour", "status"), True), (("hour",), False))


class OutboxEntry(Table):
    project = pw.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    kind = pw.TextField()
    key = pw.TextField()
    payload = pw.TextField()
    state = pw.TextField(default="waiting")
    attempts = pw.IntegerField(default=0)
    due_at = pw.BigIntegerField()
    lease_until = pw.BigIntegerField(default=0)
    last_error = pw.TextField(default="")
    created_at = pw.BigIntegerField()
    completed_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "outbox"
        indexes = ((("state", "due_at"), False), (("key", "id"), False))


class Token(Table):
    id = pw.TextField(primary_key=True)
    name = pw.TextField()
    digest = pw.TextField(unique=True)
    beginning = pw.TextField()
    scope = pw.TextField()
    project = pw.ForeignKeyField(Project, null=True, on_delete="CASCADE")
    user = pw.ForeignKeyField(User, null=True, on_delete="CASCADE")
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField(null=True)
    last_used_at = pw.BigIntegerField(null=True)
    revoked_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "tokens"


class Session(Table):
    digest = pw.TextField(primary_key=True)
    token = pw.ForeignKeyField(Token, on_delete="CASCADE")
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "sessions"


class WantedCommit(Table):
    sha = pw.TextField(primary_key=True)
    state = pw.TextField(default="asked")
    asked_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "wanted_commits"


class Variable(Table):
    project = pw.ForeignKeyField(Project, on_delete="CASCADE")
    name = pw.TextField()
    context = pw.TextField()
    branch = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    value = pw.TextField()
    secret = pw.BooleanField(default=True)
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "variables"
        indexes = ((("project", "name", "context", "branch"), True),)


class Provenance(Table):
    deployment = pw.ForeignKeyField(Deployment, primary_key=True, on_delete="CASCADE")
    envelope = pw.TextField()
    created_at = pw.BigIntegerField()

    class Meta:
        table_name = "provenance"


class SigningKey(Table):
    id = pw.TextField(primary_key=True)
    public = pw.TextField()
    created_at = pw.BigIntegerField()
    revoked_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "signing_keys"


class RememberedRequest(Table):
    key = pw.TextField(primary_key=True)
    fingerprint = pw.TextField()
    status = pw.IntegerField(default=0)
    headers = pw.TextField(default="{}")
    body = pw.TextField(default="")
    created_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "remembered_requests"


class AuditEntry(Table):
    at = pw.BigIntegerField(index=True)
    actor = pw.TextField()
    action = pw.TextField()
    subject = pw.TextField()
    project = pw.TextField(default="", index=True)
    details = pw.TextField(default="{}")

    class Meta:
        table_name = "audit"


TABLES = (
    User, Project, Membership, Delivery, Ref, PullRequest, Approval, Deployment, Build, File,
    Retention, Chore,
    Alias, Access, Domain, Traffic, OutboxEntry, Token, Session, WantedCommit, Variable,
    Provenance, SigningKey,
    RememberedRequest, AuditEntry, Turn, WorkerProcess, LogPart,
)  # fmt: skip


def up(migrator, db):
    for table in TABLES:
        table._meta.set_database(db)
    db.create_tables(TABLES)


def down(migrator, db):
    for table in TABLES:
        table._meta.set_database(db)
    db.drop_tables(TABLES)
