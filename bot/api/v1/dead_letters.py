"""What was given up by our fault, and every delivery that is kept: to look at, and to replay."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import Time
from bot.dead_letters import DeadLetters
from bot.models import dead_letters
from bot.models.dead_letters import Kind
from bot.models.tables import Delivery
from bot.models.tokens import Scope


class LetterPath(BaseModel):
    letter_id: str = Field(
        max_length=100, description="A build's id, `msg-…`, or a delivery's GUID."
    )


class LetterQuery(BaseModel):
    kind: Kind | None = None
    limit: int = Field(100, ge=1, le=1000, description="Of each kind, the newest first.")


class LetterOut(BaseModel):
    kind: Kind
    id: str
    project: str
    what: str
    problem: str
    attempts: int
    at: Time


class LetterList(BaseModel):
    data: list[LetterOut]


class Replayed(BaseModel):
    id: str
    outcome: str


class OneReplayed(BaseModel):
    data: Replayed


class DeliveryFilter(BaseModel):
    limit: int = Field(100, ge=1, le=1000, description="The newest first.")
    until: int | None = Field(None, ge=0, description="Milliseconds since 1970: not from then on.")
    outcome: str = Field("", max_length=20, description="accepted, ignored, or failed.")
    event: str = Field("", max_length=64)


class DeliveryOut(BaseModel):
    guid: str
    event: str
    outcome: str
    reason: str
    attempts: int = Field(description="That failed by our fault.")
    received_at: Time


class DeliveryList(BaseModel):
    data: list[DeliveryOut]


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint(
        "dead-letters", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="administration")]
    )
    letters = DeadLetters(services.control)

    @api.get(
        "/dead-letters",
        summary="What was given up by our fault",
        description="Builds, webhook deliveries, and what the code host would not be told.",
        responses={200: LetterList},
    )
    def list_letters(query: LetterQuery) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        found = dead_letters.listed(query.limit, query.kind)
        rows = [LetterOut.model_validate(row, from_attributes=True) for row in found]
        return answer(LetterList(data=rows))

    @api.post(
        "/dead-letters/<letter_id>/replay",
        summary="Try again what was given up, or any kept delivery",
        description="What is older than what is known changes nothing.",
        responses={200: OneReplayed, 404: Problem, 409: Problem},
    )
    def replay(path: LetterPath) -> Response:
        caller = find.caller()
        caller.require_everywhere(Scope.ADMIN)
        outcome = letters.replay(caller.name, path.letter_id)
        return answer(OneReplayed(data=Replayed(id=path.letter_id, outcome=outcome)))

    @api.get(
        "/deliveries",
        summary="The webhook deliveries that are kept",
        description="For 30 days. Each can be replayed as a dead letter can.",
        responses={200: DeliveryList},
    )
    def list_deliveries(query: DeliveryFilter) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        rows = Delivery.select()
        if query.outcome:
            rows = rows.where(Delivery.outcome == query.outcome)
        if query.event:
            rows = rows.where(Delivery.event == query.event)
        if query.until is not None:
            rows = rows.where(Delivery.received_at < query.until)
        found = rows.order_by(Delivery.received_at.desc()).limit(query.limit)
        data = [DeliveryOut.model_validate(row, from_attributes=True) for row in found]
        return answer(DeliveryList(data=data))

    return api
