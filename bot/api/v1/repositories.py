"""Repositories: connecting one to the host, by its webhook at the code host."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.errors import UserError
from bot.models import audit, projects
from bot.models.tokens import Scope


class RepositoryPath(BaseModel):
    owner: str = Field(max_length=100)
    name: str = Field(max_length=100)


class ConnectionOut(BaseModel):
    """A repository whose pushes reach this host."""

    repository: str
    project_id: int
    hook_id: int = Field(description="The webhook, as the code host knows it.")
    url: str = Field(description="Where the webhook leads.")
    created: bool = Field(description="Whether the webhook is new; else it was brought up to date.")


class OneConnection(BaseModel):
    data: ConnectionOut


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint(
        "repositories", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="repositories")]
    )
    settings, database = services.settings, services.database

    @api.put(
        "/repositories/<owner>/<name>",
        summary="Connect a repository",
        description=(
            "Gives the repository this host's webhook, with its secret, and makes the project. "
            "The host's own credentials do it, so that this is for administrators. Doing it "
            "again mends the webhook that is there."
        ),
        responses={200: OneConnection, 201: OneConnection, 422: Problem, 503: Problem},
    )
    def connect(path: RepositoryPath) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        client = services.code_host()
        if client is None:
            raise UserError(
                "no-credentials",
                "The host has neither a GITHUB_TOKEN nor a GitHub App.",
                "docs/github.md says how its operator makes one; or add the webhook by hand.",
            )
        from bot.github.connect import connect_repository

        done = connect_repository(client, settings, f"{path.owner}/{path.name}")
        with database.write():
            project_id = projects.connect_project(
                done.repository,
                production_branch=done.production_branch,
                private=done.private,
                installation_id=None,
            )
            audit.note(
                find.caller().name,
                "repository.connect",
                done.repository,
                project=done.repository,
                hook=done.hook_id,
                created=done.created,
            )
        connection = ConnectionOut(
            repository=done.repository,
            project_id=project_id,
            hook_id=done.hook_id,
            url=done.url,
            created=done.created,
        )
        return answer(OneConnection(data=connection), 201 if done.created else 200)

    return api
