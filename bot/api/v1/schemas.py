"""What the API takes and gives. These models validate, and OpenAPI is made from them.

Times are milliseconds since 1970, UTC; sizes are bytes; stages are seconds.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bot.api.builds import as_json
from bot.models.tables import AuditEntry, Build, Deployment, File, Project, Token, User, Variable
from bot.models.tokens import Scope
from bot.models.variables import Context
from bot.project_name import key_of
from bot.project_states import advice
from bot.settings import Settings

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Rows' numbers: as large as every JSON reader keeps exactly.
Number = Annotated[int, Field(ge=1, le=(1 << 53) - 1)]
VariableName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
]
BranchPattern = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x20\x7f~^:\\]*$", max_length=255)
]
Time = Annotated[int, Field(description="Milliseconds since 1970, UTC.")]


class Asked(BaseModel):
    """A body: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


class Paged(BaseModel):
    """Query of every list, newest first."""

    limit: int = Field(25, ge=1, le=100)
    cursor: str = Field("", max_length=200, description="`next` of the page before.")


class ProjectPath(BaseModel):
    project_id: Number


class DeploymentPath(BaseModel):
    deployment_id: str = Field(max_length=64)


class BuildPath(BaseModel):
    build_id: str = Field(max_length=64)


class Prospects(BaseModel):
    """What a build that waits may expect."""

    place: int
    seconds: float | None = Field(description="Until it may begin, as far as that can be told.")
    reason: str
    text: str = Field(description="All of it, for people.")


class BuildOut(BaseModel):
    """One attempt to produce a deployment."""

    id: str
    deployment_id: str
    project: str
    sha: str | None
    ref: str
    environment: str
    status: str
    framework: str
    url: str
    log_url: str
    stages: dict[str, float]
    error_code: str
    error_message: str
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    queue: Prospects | None = Field(description="While it waits to be built.")


class DeploymentOut(BaseModel):
    """One immutable version of a project: a commit, or an upload."""

    id: str
    project_id: int
    project: str
    sha: str | None
    ref: str
    source: str
    environment: str
    status: str
    url: str
    created_at: Time
    updated_at: Time


class ProjectOut(BaseModel):
    """A connected repository (`owner/name`), or a name that uploads go to."""

    id: int
    main_id: int | None = Field(
        description="Of one of several projects of a repository: the main one's id."
    )
    name: str
    production_branch: str
    private: bool
    state: str = Field(description="`active`, or what keeps it from being so.")
    advice: str = Field(description="What is amiss, and what to do; empty where nothing is.")
    concurrency: int | None = Field(
        description="Builds that may run at a time; null: PROJECT_CONCURRENCY; 0: any number."
    )
    toolbar: bool = Field(description="Whether pages carry a toolbar.")
    build_on_visit: bool = Field(description="Whether a visit builds a commit that never was.")
    created_at: Time
    updated_at: Time


class ProjectIn(Asked):
    name: str = Field(max_length=63)
    production_branch: str = Field("main", min_length=1, max_length=255)


class ProjectChange(Asked):
    """What is left out stays as it is."""

    production_branch: str | None = Field(None, min_length=1, max_length=255)
    toolbar: bool | None = None
    build_on_visit: bool | None = None
    concurrency: int | None = Field(
        None, ge=0, le=10_000, description="Null: as the operator says; 0: any number."
    )


class FileOut(BaseModel):
    path: str
    size: int
    media_type: str
    digest: str = Field(description="SHA-256, hex.")


class DomainIn(Asked):
    domain: Annotated[
        str,
        StringConstraints(
            pattern=r"^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,63}$",
            max_length=253,
            to_lower=True,
        ),
    ]


class VariableIn(Asked):
    value: str = Field(max_length=64 << 10, pattern=r"^[^\x00]*$")
    context: Context = Context.ALL
    branch: BranchPattern = Field(
        "", description="A pattern of branches (`release/*`) that alone see it. Empty: any."
    )
    secret: bool | None = Field(
        None,
        description="Whether it is masked in logs, and must not be published. Default: yes, "
        "but for names that bundlers show to browsers (`VITE_…`, `NEXT_PUBLIC_…`, …).",
    )


class VariableOut(BaseModel):
    """Without its value, which is never given out."""

    name: str
    context: str
    branch: str = Field(description="The pattern of branches that alone see it; empty: any.")
    secret: bool
    updated_at: Time


class TokenIn(Asked):
    name: str = Field(min_length=1, max_length=100)
    scope: Scope = Scope.DEPLOY
    project_id: Number | None = Field(None, description="Default: all projects.")
    user: str | None = Field(
        None,
        max_length=39,
        description=(
            "Whose it is; default: the asker's own. Empty: nobody's, its scope alone counts; "
            "for administrators, and for owners with `project_id`."
        ),
    )
    expires_in_days: int | None = Field(None, ge=1, le=3650)


class TokenOut(BaseModel):
    id: str
    name: str
    beginning: str = Field(description="Its first characters, to tell it by.")
    scope: str
    project_id: int | None
    user: str | None = Field(description="Whose it is, and whose roles bind it.")
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None


class TokenMade(TokenOut):
    token: str = Field(description="The token itself. It is shown this once.")


class Promotion(Asked):
    deployment_id: str = Field(max_length=64)


class FilesIn(Asked):
    """A site by its contents: path → SHA-256."""

    files: dict[Annotated[str, StringConstraints(max_length=1024)], Sha256] = Field(min_length=1)
    project: str = Field("", max_length=200)
    ref: str = Field("", max_length=255)
    production: bool = False


class Missing(BaseModel):
    """Contents that are to be uploaded before the manifest can be deployed."""

    missing: list[str]


class UsageOut(BaseModel):
    project_id: int
    project: str
    deployments: int
    builds: int
    build_seconds: float
    stored_bytes: int
    requests: int
    served_bytes: int


class AuditOut(BaseModel):
    id: int
    at: Time
    actor: str
    action: str
    subject: str
    project: str = Field(description="The project that was touched, if it is one's matter.")
    details: dict[str, Any]


class Page(BaseModel):
    next: str | None = Field(None, description="Cursor of the next page, if there is one.")


class BuildPage(Page):
    data: list[BuildOut]


class DeploymentPage(Page):
    data: list[DeploymentOut]


class ProjectPage(Page):
    data: list[ProjectOut]


class FilePage(Page):
    data: list[FileOut]


class AuditPage(Page):
    data: list[AuditOut]


class TokenPage(Page):
    data: list[TokenOut]


class VariableList(BaseModel):
    data: list[VariableOut]


class UsageList(BaseModel):
    data: list[UsageOut]


class OneBuild(BaseModel):
    data: BuildOut


class OneDeployment(BaseModel):
    data: DeploymentOut


class OneProject(BaseModel):
    data: ProjectOut


class OneVariable(BaseModel):
    data: VariableOut


class OneToken(BaseModel):
    data: TokenMade


Environment = Literal["production", "preview"]


def build_out(build: Build, settings: Settings) -> BuildOut:
    return BuildOut.model_validate(as_json(build, settings))


def deployment_out(deployment: Deployment, settings: Settings) -> DeploymentOut:
    return DeploymentOut(
        id=deployment.id,
        project_id=deployment.project_id,
        project=deployment.project.name,
        sha=deployment.sha,
        ref=deployment.ref,
        source=deployment.source,
        environment=deployment.environment,
        status=deployment.status,
        url=settings.deployment_url(key_of(deployment.project.name, deployment.sha, deployment.id)),
        created_at=deployment.created_at,
        updated_at=deployment.updated_at,
    )


def project_out(project: Project) -> ProjectOut:
    values = {name: getattr(project, name) for name in ProjectOut.model_fields if name != "advice"}
    return ProjectOut(**values, advice=advice(project.state, project.state_note))


def file_out(file: File) -> FileOut:
    return FileOut(path=file.path, size=file.size, media_type=file.mime_type, digest=file.digest)


def variable_out(variable: Variable) -> VariableOut:
    return VariableOut.model_validate(variable, from_attributes=True)


def token_out(token: Token) -> TokenOut:
    user: User | None = token.user
    values = {name: getattr(token, name) for name in TokenOut.model_fields if name != "user"}
    return TokenOut(**values, user=user.login if user is not None else None)


def audit_out(entry: AuditEntry) -> AuditOut:
    return AuditOut(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        project=entry.project,
        details=json.loads(entry.details),
    )
