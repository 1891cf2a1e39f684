"""Freeing what no deployment refers to any more: an administrator's affair."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import Asked
from bot.models import audit
from bot.models.tokens import Scope
from bot.storage.collect import collect


class CollectionIn(Asked):
    dry_run: bool = Field(False, description="Say what would be freed, and free nothing.")


class CollectionOut(BaseModel):
    """What was freed, or would be."""

    dry_run: bool
    contents: int
    bytes: int
    kept: int = Field(description="Contents that are needed, or were stored within a day.")


class OneCollection(BaseModel):
    data: CollectionOut


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("gc", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="storage")])

    @api.post(
        "/gc",
        summary="Free what no deployment refers to any more",
        description=(
            "Contents of deleted deployments that no other has, and of uploads that were never "
            "finished. Nothing that was stored, or relied on, within a day."
        ),
        responses={200: OneCollection},
    )
    def collect_garbage(body: CollectionIn) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        found = collect(services.store, dry_run=body.dry_run)
        with services.database.write():
            audit.note(
                find.caller().name, "storage.collect", "storage",
                dry_run=body.dry_run, contents=found.contents, bytes=found.size,
            )  # fmt: skip
        out = CollectionOut(
            dry_run=body.dry_run, contents=found.contents, bytes=found.size, kept=found.kept
        )
        return answer(OneCollection(data=out))

    return api
