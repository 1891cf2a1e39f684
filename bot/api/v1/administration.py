"""Usage, the audit log, and the key of variables: what administrators look after."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from peewee import fn
from pydantic import BaseModel, Field

from bot.api.conditional import answer
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import AuditPage, Number, Paged, UsageList, UsageOut, audit_out
from bot.models import audit, usage, variables
from bot.models.tables import AuditEntry
from bot.models.tokens import Scope
from bot.sealing import sealing_from

_LATEST = (1 << 53) - 1


class UsageQuery(BaseModel):
    since: int = Field(0, ge=0, le=_LATEST, description="Milliseconds since 1970, UTC.")
    project_id: Number | None = None


class AuditFilter(Paged):
    actor: str = Field("", max_length=200, description="How the actor's name begins: a login, say.")
    action: str = Field(
        "", max_length=100, description="How the action begins: `project.promote`, or `token.`."
    )
    subject: str = Field("", max_length=300)
    project_id: Number | None = Field(None, description="What concerns one project.")
    since: int = Field(0, ge=0, le=_LATEST, description="Milliseconds since 1970, UTC.")
    until: int | None = Field(None, ge=0, le=_LATEST, description="Not from then on.")


class Rotated(BaseModel):
    count: int = Field(description="How many variables there are.")


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint(
        "administration", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="administration")]
    )

    @api.get("/usage", summary="What projects use", responses={200: UsageList, 404: Problem})
    def get_usage(query: UsageQuery) -> Response:
        caller = find.caller()
        caller.require(Scope.READ)
        project_id = query.project_id or caller.project_id
        if project_id is not None:
            find.project(project_id, Scope.READ)
        found = usage.of_projects(query.since, project_id or 0)
        visible = caller.project_ids()
        return answer(
            UsageList(
                data=[
                    UsageOut.model_validate(row, from_attributes=True)
                    for row in found
                    if visible is None or row.project_id in visible
                ]
            )
        )

    @api.post(
        "/variables/rotate",
        summary="Encrypt all variables with the newest key",
        description="After SECRETS_KEY was set to `new,old`; then the old one can go.",
        responses={200: Rotated},
    )
    def rotate() -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        sealing = sealing_from(services.settings)
        with services.database.write():
            count = variables.rewrite(sealing.seal_again)
            audit.note(find.caller().name, "variables.rotate", "all", count=count)
        return answer(Rotated(count=count))

    @api.get(
        "/audit",
        summary="Who changed what, and when",
        description="With `project_id` for the project's owners, else for administrators.",
        responses={200: AuditPage, 404: Problem},
    )
    def get_audit(query: AuditFilter) -> Response:
        rows = AuditEntry.select()
        if query.since:
            rows = rows.where(AuditEntry.at >= query.since)
        if query.project_id is None:
            find.caller().require_everywhere(Scope.ADMIN)
        else:
            project = find.project(query.project_id, Scope.ADMIN)
            # An earlier project of this name had other owners.
            rows = rows.where(
                AuditEntry.project == project.name, AuditEntry.at >= project.created_at
            )
        if query.until is not None:
            rows = rows.where(AuditEntry.at < query.until)
        if query.subject:
            rows = rows.where(AuditEntry.subject == query.subject)
        for column, beginning in (
            (AuditEntry.actor, query.actor),
            (AuditEntry.action, query.action),
        ):
            if beginning:
                rows = rows.where(fn.SUBSTR(column, 1, len(beginning)) == beginning)
        found, cursor = page_of(rows, AuditEntry.id, query)
        return answer(AuditPage(data=[audit_out(row) for row in found], next=cursor))

    return api
