"""Answers that are told only when they changed, and changes of what was seen alone.

https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from __future__ import annotations

import hashlib

from flask import Response, jsonify, request
from pydantic import BaseModel

from bot.errors import UserError


def answer(model: BaseModel, status: int = 200) -> Response:
    """A model as JSON; with an ETag, and without a body where the asker has it already."""
    response = jsonify(model.model_dump(mode="json"))
    response.status_code = status
    if request.method in {"GET", "HEAD"}:
        response.set_etag(tag_of(model))
        response.headers["Cache-Control"] = "private, no-cache"
        response.make_conditional(request)
    return response


def nothing() -> Response:
    return Response(status=204)


def require_match(model: BaseModel) -> None:
    """Refuse a change of something that is not (any more) what its changer saw.

    Raises `UserError`: `precondition-failed`.
    """
    if request.if_match and not request.if_match.contains(tag_of(model)):
        raise UserError(
            "precondition-failed", "It was changed meanwhile.", "Get it again, and look."
        )


def tag_of(model: BaseModel) -> str:
    return hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:32]
