"""The tables. Times are milliseconds since 1970 (`bot.models.ids.now`)."""

from __future__ import annotations

import peewee as pw

from bot.models.database import proxy


class Table(pw.Model):
    class Meta:
        database = proxy
        legacy_table_names = False


class User(Table):
    """Who may act."""

    id = pw.AutoField()
    login = pw.TextField(unique=True)
    role = pw.TextField(default="member")  # or admin, of the whole instance
    created_at = pw.BigIntegerField()

    class Meta:
        table_name = "users"


class Project(Table):
    """A connected repository (named `owner/name`), or a name that uploads go to."""

    id = pw.AutoField()
    name = pw.TextField(unique=True)
    main_id: int | None
    # Of one of several projects of a repository: the main one, whose branches it shares.
    main = pw.ForeignKeyField("self", null=True, on_delete="CASCADE")
    production_branch = pw.TextField(default="main")
    # The App installation through which the repository is reached, if any.
    installation_id = pw.BigIntegerField(null=True)
    private = pw.BooleanField(default=False)
    # active, suspended (installation suspended), removed (no longer reachable)
    state = pw.TextField(default="active")
    # What the code host said of it, where it is not active.
    state_note = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    # How many of its builds may run at a time; empty: as the operator says; 0: any number.
    concurrency = pw.IntegerField(null=True)
    # Whether previews' pages carry a toolbar, and whether a visit may build a commit.
    toolbar = pw.BooleanField(default=False, constraints=[pw.SQL("DEFAULT FALSE")])
    build_on_visit = pw.BooleanField(default=False, constraints=[pw.SQL("DEFAULT FALSE")])
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "projects"


class Membership(Table):
    """What a user is in a project."""

    id = pw.AutoField()
    user_id: int
    user = pw.ForeignKeyField(User, on_delete="CASCADE", index=False)
    project_id: int
    project = pw.ForeignKeyField(Project, on_delete="CASCADE")
    role = pw.TextField()  # viewer, developer, owner: each may do what the one before may
    created_at = pw.BigIntegerField()

    class Meta:
        table_name = "memberships"
        indexes = ((("user", "project"), True),)


FAILED_DELIVERIES = pw.SQL(
    "CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (received_at) "
    "WHERE outcome = 'failed'"
)


class Delivery(Table):
    """The inbox: one webhook delivery, kept so that a repeated one changes nothing."""

    guid = pw.TextField(primary_key=True)
    event = pw.TextField()
    digest = pw.TextField()  # SHA-256 of the raw body, hex
    outcome = pw.TextField()  # accepted, ignored, failed (by our fault)
    reason = pw.TextField(default="")
    attempts = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])  # that failed
    # The parsed event as JSON, for replay; empty where it was ignored unread.
    data = pw.TextField(default="")
    received_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "deliveries"
        indexes = (FAILED_DELIVERIES,)


class Ref(Table):
    """The newest known state of a branch. `moved_at` orders events that arrive out of order."""

    id = pw.AutoField()
    project_id: int
    project = pw.ForeignKeyField(Project, backref="refs", on_delete="CASCADE", index=False)
    name = pw.TextField()  # the branch, without refs/heads/
    sha = pw.TextField()
    deleted = pw.BooleanField(default=False)
    moved_at = pw.BigIntegerField()

    class Meta:
        table_name = "refs"
        indexes = ((("project", "name"), True), (("project", "sha"), False))


class PullRequest(Table):
    id = pw.AutoField()
    project_id: int
    project = pw.ForeignKeyField(Project, backref="pull_requests", on_delete="CASCADE", index=False)
    number = pw.IntegerField()
    head_sha = pw.TextField()
    head_ref = pw.TextField()
    fork = pw.BooleanField(default=False)
    open = pw.BooleanField(default=True)
    moved_at = pw.BigIntegerField()
    # The one comment, once it exists.
    comment_id = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "pull_requests"
        indexes = ((("project", "number"), True), (("project", "head_sha"), False))


class Approval(Table):
    """Somebody's wish to have a commit out of a fork built, and what came of it."""

    id = pw.AutoField()
    project_id: int
    project = pw.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    number = pw.IntegerField()  # the pull request's
    sha = pw.TextField()  # this commit and no other
    source = pw.TextField()  # label, comment, api
    actor = pw.TextField()
    # The comment that asked, if one did.
    comment_id = pw.BigIntegerField(null=True)
    state = pw.TextField()  # asked, granted, refused
    reason = pw.TextField(default="")
    created_at = pw.BigIntegerField()
    decided_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "approvals"
        indexes = ((("project", "sha"), False),)


class Deployment(Table):
    """One immutable version of a project: a commit, or an upload (then `sha` is empty)."""

    id = pw.TextField(primary_key=True)
    user = pw.ForeignKeyField(User, null=True, on_delete="SET NULL", index=False)
    project_id: int
    project = pw.ForeignKeyField(Project, backref="deployments", on_delete="CASCADE", index=False)
    sha = pw.TextField(null=True)
    ref = pw.TextField(default="")
    source = pw.TextField()  # push, pull_request, upload, url, retry
    environment = pw.TextField(default="preview")  # or production
    # Whether somebody who may write to the repository stands behind the code.
    trusted = pw.BooleanField(default=True)
    status = pw.TextField()
    # The code host's own deployment, once it exists.
    remote_id = pw.BigIntegerField(null=True)
    fingerprint = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    tools = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "deployments"
        indexes = (
            (("sha", "project"), True), (("project", "created_at"), False),
            (("project", "fingerprint"), False), (("project", "id"), False),
            (("status", "id"), False),
        )  # fmt: skip


# Small, whatever number of builds there ever was: the queue is asked all the time.
WAITING_BUILDS = pw.SQL(
    "CREATE INDEX IF NOT EXISTS builds_waiting ON builds (priority, project_id, due_at, id) "
    "WHERE status = 'queued'"
)
RUNNING_BUILDS = pw.SQL(
    "CREATE INDEX IF NOT EXISTS builds_running ON builds (project_id, started_at) "
    "WHERE status IN ('cloning', 'building', 'publishing')"
)
READY_BUILDS = pw.SQL(
    "CREATE INDEX IF NOT EXISTS builds_ready ON builds (project_id, completed_at) "
    "WHERE status = 'ready'"
)


class Build(Table):
    """One attempt to produce a deployment."""

    id = pw.TextField(primary_key=True)
    deployment_id: str
    deployment = pw.ForeignKeyField(Deployment, backref="builds", on_delete="CASCADE", index=False)
    status = pw.TextField()
    logs = pw.TextField(default="")  # the log's path, relative to DATA_DIR
    framework = pw.TextField(default="")
    stages = pw.TextField(default="{}")  # JSON: stage → seconds
    error_code = pw.TextField(default="")
    error_message = pw.TextField(default="")
    warnings = pw.TextField(null=True)  # JSON: a list of texts
    # How often a worker has taken it up; our own faults are retried.
    attempts = pw.IntegerField(default=0)
    worker = pw.TextField(default="")
    # The delivery that asked for it, if one did: for the log.
    delivery = pw.TextField(default="")
    # A running build whose lease has run out has lost its worker.
    lease_until = pw.BigIntegerField(default=0)
    fresh = pw.BooleanField(default=False, constraints=[pw.SQL("DEFAULT FALSE")])  # --no-cache
    # Its place in the queue (`bot.models.queue`); the project is its deployment's.
    project_id = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    priority = pw.IntegerField(default=1, constraints=[pw.SQL("DEFAULT 1")])
    due_at = pw.BigIntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])  # not before
    # What the code host was told of its place last.
    told = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    created_at = pw.BigIntegerField()
    started_at = pw.BigIntegerField(null=True)
    completed_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "builds"
        indexes = (
            (("status", "created_at"), False), (("deployment", "created_at"), False),
            (("status", "id"), False), (("project_id", "id"), False),
            WAITING_BUILDS, RUNNING_BUILDS, READY_BUILDS,
        )  # fmt: skip


class File(Table):
    """One published file of a deployment."""

    id = pw.AutoField()
    deployment_id: str
    deployment = pw.ForeignKeyField(Deployment, backref="files", on_delete="CASCADE", index=False)
    path = pw.TextField()
    size = pw.BigIntegerField()
    mime_type = pw.TextField()
    digest = pw.TextField()

    class Meta:
        table_name = "files"
        indexes = ((("deployment", "path"), True),)


class Alias(Table):
    """A moving name for a deployment."""

    id = pw.AutoField()
    project_id: int
    project = pw.ForeignKeyField(Project, backref="aliases", on_delete="CASCADE", index=False)
    kind = pw.TextField()
    name = pw.TextField()
    # What it is found by in a host name or path (`bot.models.addresses`).
    address = pw.TextField(default="", index=True)
    deployment_id: str
    deployment = pw.ForeignKeyField(Deployment, on_delete="CASCADE")
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "aliases"
        indexes = ((("project", "kind", "name"), True),)


class Access(Table):
    """Who may see a project's deployments. No row: everybody."""

    project_id: int
    project = pw.ForeignKeyField(Project, primary_key=True, on_delete="CASCADE")
    kind = pw.TextField()  # password, link
    password = pw.TextField(default="")  # its scrypt digest, never itself
    signing_key = pw.TextField()  # of cookies and shared links, hex
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "access"


class Domain(Table):
    """A custom domain that a project claims. It is served once its ownership is proven."""

    id = pw.AutoField()
    project_id: int
    project = pw.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    name = pw.TextField(index=True)
    proof = pw.TextField()  # what its TXT record must say
    state = pw.TextField(default="pending")  # or verified
    problem = pw.TextField(default="")  # what the last look found missing
    created_at = pw.BigIntegerField()
    verified_at = pw.BigIntegerField(null=True)  # when its proof was last seen
    due_at = pw.BigIntegerField(index=True)  # when to look next

    class Meta:
        table_name = "domains"
        indexes = ((("project", "name"), True),)


class Traffic(Table):
    """What was served of a deployment in one hour. Numbers alone: nothing of who asked."""

    id = pw.AutoField()
    deployment_id: str
    deployment = pw.ForeignKeyField(Deployment, on_delete="CASCADE")
    hour = pw.BigIntegerField()  # its beginning
    status = pw.IntegerField()  # 2 for 200 to 299, and so on
    requests = pw.BigIntegerField()
    size = pw.BigIntegerField()  # bytes of bodies

    class Meta:
        table_name = "traffic"
        indexes = ((("deployment", "hour", "status"), True), (("hour",), False))


class OutboxEntry(Table):
    """Something that the code host must still be told. Order is kept within a `key`."""

    id = pw.AutoField()
    project_id: int
    project = pw.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    kind = pw.TextField()  # status, comment, deployment, approval, reaction
    key = pw.TextField()
    payload = pw.TextField()  # JSON
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
    """A bearer token of the API. It is shown once; only its digest is kept."""

    id = pw.TextField(primary_key=True)
    name = pw.TextField()
    digest = pw.TextField(unique=True)  # SHA-256 of the whole token, hex
    beginning = pw.TextField()  # its first characters, to tell tokens apart by
    scope = pw.TextField()  # read, deploy, admin: each includes the one before
    project_id: int | None
    # All that it may touch; empty: every project.
    project = pw.ForeignKeyField(Project, null=True, on_delete="CASCADE")
    user_id: int | None
    # Who acts by it, and may do no more than they may; empty: the instance's own.
    user = pw.ForeignKeyField(User, null=True, on_delete="CASCADE")
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField(null=True)
    last_used_at = pw.BigIntegerField(null=True)
    revoked_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "tokens"


class Session(Table):
    """Somebody signed in to the dashboard by a token, whose rights it has for as long as that."""

    digest = pw.TextField(primary_key=True)  # SHA-256 of the cookie's value, hex
    token_id: str
    token = pw.ForeignKeyField(Token, on_delete="CASCADE")
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "sessions"


class WantedCommit(Table):
    """A commit that somebody visited and nobody has built."""

    sha = pw.TextField(primary_key=True)
    state = pw.TextField(default="asked")  # unknown: of no branch, tag or pull request
    asked_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "wanted_commits"


class Variable(Table):
    """An environment variable of a project's builds; its value is encrypted."""

    id = pw.AutoField()
    project_id: int
    project = pw.ForeignKeyField(Project, on_delete="CASCADE")
    name = pw.TextField()
    context = pw.TextField()  # all, production, preview
    # A pattern of branches, whose builds alone see it; empty: those of any.
    branch = pw.TextField(default="", constraints=[pw.SQL("DEFAULT ''")])
    value = pw.TextField()
    # Whether it must not get out: masked in logs, and refused in what is published.
    secret = pw.BooleanField(default=True)
    updated_at = pw.BigIntegerField()

    class Meta:
        table_name = "variables"
        indexes = ((("project", "name", "context", "branch"), True),)


class RememberedRequest(Table):
    """The answer to a request with an idempotency key, for whoever sends it again."""

    key = pw.TextField(primary_key=True)  # digest of who, what and the key
    fingerprint = pw.TextField()  # digest of what was asked for
    status = pw.IntegerField(default=0)  # 0: not answered yet
    headers = pw.TextField(default="{}")
    body = pw.TextField(default="")
    created_at = pw.BigIntegerField(index=True)

    class Meta:
        table_name = "remembered_requests"


class AuditEntry(Table):
    """Who changed what, and when."""

    id = pw.AutoField()
    at = pw.BigIntegerField(index=True)
    actor = pw.TextField()
    action = pw.TextField()  # such as `deployment.delete`
    subject = pw.TextField()
    project = pw.TextField(default="", index=True)  # its name: entries outlive projects
    details = pw.TextField(default="{}")  # JSON, without secrets

    class Meta:
        table_name = "audit"


ALL: tuple[type[Table], ...] = (
    User, Project, Membership, Delivery, Ref, PullRequest, Approval, Deployment, Build, File,
    Alias, Access, Domain, Traffic, OutboxEntry, Token, Session, WantedCommit, Variable,
    RememberedRequest, AuditEntry,
)  # fmt: skip
