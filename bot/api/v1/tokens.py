"""Tokens: made once, shown once, revoked."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from peewee import JOIN
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import OneToken, Paged, TokenIn, TokenMade, TokenPage, token_out
from bot.errors import UserError
from bot.models import audit, tokens, users
from bot.models.ids import now
from bot.models.rights import Caller
from bot.models.tables import Project, Token, User
from bot.models.tokens import Scope
from bot.models.users import Role

_DAY = 86_400_000  # ms


class TokenPath(BaseModel):
    token_id: str = Field(max_length=64)


class TokenFilter(Paged):
    user: str = Field("", max_length=39, description="Of one user.")


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("tokens", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="tokens")])
    database = services.database

    @api.get("/tokens", summary="List tokens", responses={200: TokenPage})
    def list_tokens(query: TokenFilter) -> Response:
        rows = _manageable(find.caller())
        if query.user:
            rows = rows.where(User.login == query.user)
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
        caller.require(Scope.ADMIN)
        owner = _owner_of_new(caller, body)
        project = _project_of_new(caller, body.project_id)
        days = body.expires_in_days
        expires_at = now() + days * _DAY if days is not None else None
        with database.write():
            token, secret = tokens.create(
                body.name,
                body.scope,
                project.id if project is not None else None,
                expires_at,
                owner.id if owner is not None else None,
            )
            audit.note(
                caller.name,
                "token.create",
                token.id,
                project=project.name if project is not None else "",
                name=body.name,
                scope=body.scope,
                user=owner.login if owner is not None else None,
            )
        made = TokenMade(**token_out(token).model_dump(), token=secret)
        return answer(OneToken(data=made), 201)

    @api.delete("/tokens/<token_id>", summary="Revoke a token", responses={204: None, 404: Problem})
    def revoke_token(path: TokenPath) -> Response:
        with database.write():
            token: Token | None = (
                _manageable(find.caller()).where(Token.id == path.token_id).first()
            )
            if token is None or not tokens.revoke(token.id):
                raise UserError("token-not-found", "There is no such token.")
            project: Project | None = token.project
            audit.note(
                find.caller().name,
                "token.revoke",
                token.id,
                project=project.name if project is not None else "",
            )
        return nothing()

    return api


def _manageable(caller: Caller) -> Any:
    """The valid tokens that the caller may see and revoke: their own, and those of no user
    for projects that they own; administrators: all. Raises `UserError`: `forbidden`."""
    caller.require(Scope.ADMIN)
    rows = (
        Token.select(Token, Project, User)
        .join(Project, JOIN.LEFT_OUTER)
        .switch(Token)
        .join(User, JOIN.LEFT_OUTER)
        .where(Token.revoked_at.is_null())
    )
    if caller.project_id is not None:
        rows = rows.where(Token.project == caller.project_id)
    if caller.roles is not None:
        owned = [id_ for id_, role in caller.roles.items() if role is Role.OWNER]
        nobodys = Token.user.is_null() & Token.project.in_(owned)
        rows = rows.where((Token.user == caller.user_id) | nobodys)
    return rows


def _owner_of_new(caller: Caller, body: TokenIn) -> User | None:
    """Whose a new token is to be. Raises `UserError`: `forbidden`, `user-not-found`."""
    if body.user is None:
        return users.by_login(caller.login) if caller.login else None
    if not body.user:
        if body.project_id is None:
            caller.require_everywhere(Scope.ADMIN)
        else:
            find.project(body.project_id, Scope.ADMIN)
        return None
    if body.user != caller.login:
        caller.require_everywhere(Scope.ADMIN)
    return users.by_login(body.user)


def _project_of_new(caller: Caller, project_id: int | None) -> Project | None:
    """No token of one project makes a token of more. Raises `UserError`."""
    if project_id is not None:
        return find.project(project_id, Scope.READ if caller.login else Scope.ADMIN)
    if caller.project_id is not None:
        caller.require_everywhere(Scope.ADMIN)
    return None
