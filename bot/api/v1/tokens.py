"""Tokens, usage, keys, and the audit log: what administrators look after."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import (
    AuditPage,
    Number,
    OneToken,
    Paged,
    TokenIn,
    TokenMade,
    TokenPage,
    UsageList,
    UsageOut,
    audit_out,
    token_out,
)
from bot.errors import UserError
from bot.models import audit, tokens, usage, variables
from bot.models.ids import now
from bot.models.tables import AuditEntry, Token
from bot.models.tokens import Scope
from bot.sealing import sealing_from

_DAY = 86_400_000  # ms


class TokenPath(BaseModel):
    token_id: str = Field(max_length=64)


class UsageQuery(BaseModel):
    since: int = Field(0, ge=0, lt=1 << 53, description="Milliseconds since 1970, UTC.")
    project_id: Number | None = None


class Rotated(BaseModel):
    count: int = Field(description="How many variables there are.")


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint(
        "administration", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="administration")]
    )
    database = services.database

    @api.get("/tokens", summary="List tokens", responses={200: TokenPage})
    def list_tokens(query: Paged) -> Response:
        caller = find.caller()
        caller.require(Scope.ADMIN, caller.project)
        rows = Token.select().where(Token.revoked_at.is_null())
        if caller.project_id is not None:
            rows = rows.where(Token.project == caller.project_id)
        found, cursor = page_of(rows, Token.id, query)
        return answer(TokenPage(data=[token_out(row) for row in found], next=cursor))

    @api.post(
        "/tokens",
        summary="Make a token",
        description="The answer holds the token, once. Idempotency keys do not apply here.",
        responses={201: OneToken, 404: Problem, 422: Problem},
    )
    def create_token(body: TokenIn) -> Response:
        caller = find.caller()
        if body.project_id is None:
            caller.require(Scope.ADMIN)
        else:
            find.project(body.project_id, Scope.ADMIN)
        days = body.expires_in_days
        expires_at = now() + days * _DAY if days is not None else None
        with database.write():
            token, secret = tokens.create(body.name, body.scope, body.project_id, expires_at)
            audit.note(caller.name, "token.create", token.id, name=body.name, scope=body.scope)
        made = TokenMade(**token_out(token).model_dump(), token=secret)
        return answer(OneToken(data=made), 201)

    @api.delete("/tokens/<token_id>", summary="Revoke a token", responses={204: None, 404: Problem})
    def revoke_token(path: TokenPath) -> Response:
        caller = find.caller()
        caller.require(Scope.ADMIN, caller.project)
        token: Token | None = Token.get_or_none(Token.id == path.token_id)
        hidden = caller.project_id is not None and (
            token is None or token.project_id != caller.project_id
        )
        with database.write():
            if hidden or not tokens.revoke(path.token_id):
                raise UserError("token-not-found", "There is no such token.")
            audit.note(caller.name, "token.revoke", path.token_id)
        return nothing()

    @api.get("/usage", summary="What projects use", responses={200: UsageList, 404: Problem})
    def get_usage(query: UsageQuery) -> Response:
        caller = find.caller()
        caller.require(Scope.READ, caller.project)
        project_id = query.project_id or caller.project_id
        if project_id is not None:
            find.project(project_id, Scope.READ)
        found = usage.of_projects(query.since, project_id or 0)
        return answer(
            UsageList(data=[UsageOut.model_validate(row, from_attributes=True) for row in found])
        )

    @api.post(
        "/variables/rotate",
        summary="Encrypt all variables with the newest key",
        description="After SECRETS_KEY was set to `new,old`; then the old one can go.",
        responses={200: Rotated},
    )
    def rotate() -> Response:
        find.caller().require(Scope.ADMIN)
        sealing = sealing_from(services.settings)
        with database.write():
            count = variables.rewrite(sealing.seal_again)
            audit.note(find.caller().name, "variables.rotate", "all", count=count)
        return answer(Rotated(count=count))

    @api.get("/audit", summary="Who changed what, and when", responses={200: AuditPage})
    def get_audit(query: Paged) -> Response:
        find.caller().require(Scope.ADMIN)
        rows, cursor = page_of(AuditEntry.select(), AuditEntry.id, query)
        return answer(AuditPage(data=[audit_out(row) for row in rows], next=cursor))

    return api
