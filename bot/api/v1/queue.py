"""The queue: what waits, what for, and for how long builds waited lately."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import BuildOut, build_out
from bot.models import deployments, foresight, measures, workers
from bot.models.ids import now
from bot.models.tokens import Scope

_DAY = 24 * 3600 * 1000  # ms


class QueueQuery(BaseModel):
    limit: int = Field(100, ge=1, le=500, description="Of the builds, in their order.")


class WaitedOut(BaseModel):
    """Of the builds of the last day, the newest 1,000; seconds."""

    builds: int
    p50: float
    p95: float


class QueueOut(BaseModel):
    data: list[BuildOut] = Field(description="The builds that wait, the next one first.")
    waiting: int = Field(description="All builds that wait, whoever may see them.")
    running: int
    workers: int = Field(description="Worker processes that are there.")
    slots: int = Field(description="Builds that they run at a time.")
    waited: WaitedOut


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("queue", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="builds")])
    settings = services.settings

    @api.get(
        "/queue",
        summary="What waits to be built, what for, and how long",
        responses={200: QueueOut},
    )
    def get_queue(query: QueueQuery) -> Response:
        find.caller().require(Scope.READ)
        order = foresight.waiting(settings.PROJECT_CONCURRENCY)
        visible = find.caller().project_ids()
        found = [
            build_out(build, settings)
            for build in deployments.builds_of_ids(list(order), visible, query.limit)
        ]
        present = workers.present()
        waited = measures.waited(now() - _DAY)
        return answer(
            QueueOut(
                data=found,
                waiting=len(order),
                running=measures.running_builds(),
                workers=len(present),
                slots=sum(worker.slots for worker in present),
                waited=WaitedOut.model_validate(waited, from_attributes=True),
            )
        )

    return api
