"""Freeing what nobody needs any more: an administrator's affair."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from bot.api.conditional import answer
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import Asked, Time
from bot.models import audit
from bot.models.tokens import Scope
from bot.retention import Report, Retention
from bot.uploads.sources import Sources

_DRY_RUN = "Say what would go and what that would free, and change nothing."
# `?dry_run` alone means yes.
Flag = Annotated[bool, BeforeValidator(lambda value: True if value == "" else value)]


class CollectionIn(Asked):
    dry_run: bool = Field(False, description=_DRY_RUN)

    @model_validator(mode="before")
    @classmethod
    def nothing_said(cls, value: Any) -> Any:
        """No body asks for nothing special; one that cannot be read is refused."""
        return {} if value is None and not request.get_data() else value


class CollectionQuery(BaseModel):
    dry_run: Flag = Field(False, description=_DRY_RUN)


class RemovedOut(BaseModel):
    """A deployment whose time is up, or whose room is needed."""

    id: str
    project: str
    sha: str | None
    ref: str
    because: str
    bytes: int = Field(description="What it alone held.")


class Figures(BaseModel):
    """Sizes in bytes."""

    builds: int = Field(0, description="Old builds that led to nothing, with their logs.")
    contents: int = Field(0, description="Files that nothing refers to.")
    bytes: int = Field(0, description="What that freed, or would.")
    bytes_later: int = Field(
        0, description="What nothing refers to, and goes when that has been so for a day."
    )
    kept: int = Field(0, description="Files that are needed, or were stored within a day.")
    held: int = Field(0, description="What the deployments that stay hold.")
    budget: int = Field(0, description="STORAGE_BUDGET; 0: none.")
    over: int = Field(0, description="By how much the budget cannot be met: all is needed.")


class CollectionOut(Figures):
    """What was done, or would be."""

    dry_run: bool
    deployments: list[RemovedOut]


class LastCollection(Figures):
    """What the last run came to, a worker's or somebody's."""

    at: Time | None = Field(description="Empty: there was none yet.")
    deployments: int = Field(0, description="How many went.")
    problem: str = Field("", description="Why it failed, if it did.")
    deployments_total: int = Field(0, description="How many all runs together took away.")
    bytes_total: int = Field(0, description="What all runs together freed.")


class OneCollection(BaseModel):
    data: CollectionOut


class OneLastCollection(BaseModel):
    data: LastCollection


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("gc", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="storage")])
    sources = Sources(services.settings, services.store)
    retention = Retention(services.settings, services.database, services.store, sources.forget)

    @api.get(
        "/gc", summary="What the last run of retention freed", responses={200: OneLastCollection}
    )
    def last_collection() -> Response:
        find.caller().require_everywhere(Scope.READ)
        found = retention.last()
        last = {"at": None} if found is None else {"at": found.at, **found.result}
        return answer(OneLastCollection(data=LastCollection.model_validate(last)))

    @api.post(
        "/gc",
        summary="Take away what is no longer to be kept, and free what nothing refers to",
        description=(
            "Deployments whose time is up (retention), or whose room is needed (STORAGE_BUDGET); "
            "old builds that led to nothing; and contents that no deployment refers to, unless "
            "they were stored, or relied on, within a day. Workers do the same by themselves."
        ),
        responses={200: OneCollection, 409: Problem},
    )
    def collect_garbage(query: CollectionQuery, body: CollectionIn) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        dry_run = query.dry_run or body.dry_run
        report = retention.rehearse() if dry_run else retention.run()
        figures: dict[str, object] = {"dry_run": dry_run, **report.figures()}
        with services.database.write():
            audit.note(find.caller().name, "storage.collect", "storage", project="", **figures)
        return answer(OneCollection(data=_out(report)))

    return api


def _out(report: Report) -> CollectionOut:
    removed = [
        RemovedOut(
            id=one.id, project=one.project, sha=one.sha or None, ref=one.ref,
            because=one.because, bytes=one.size,
        )
        for one in report.removed
    ]  # fmt: skip
    return CollectionOut.model_validate(
        {**report.figures(), "deployments": removed, "dry_run": report.dry_run}
    )
