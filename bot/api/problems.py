"""Errors as the API tells them. https://www.rfc-editor.org/rfc/rfc9457"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, make_response
from peewee import DataError, IntegrityError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import HTTPException

from bot.errors import DeployStackError, SystemFault

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# What is not named here is 422: understood, and not possible.
_STATUS: dict[str, int] = {
    "alias-taken": 409,
    "archive-type-unknown": 415,
    "conflict": 409,
    "digest-mismatch": 400,
    "files-missing": 409,
    "forbidden": 403,
    "idempotency-key-in-use": 409,
    "invalid-cursor": 400,
    "invalid-sha": 400,
    "key-missing": 503,
    "last-admin": 409,
    "login-taken": 409,
    "not-finished": 409,
    "precondition-failed": 412,
    "project-name-taken": 409,
    "rate-limited": 429,
    "source-gone": 410,
    "unauthorized": 401,
    "upload-cut-off": 400,
    "upload-malformed": 400,
    "upload-too-large": 413,
    "upload-type-unknown": 415,
}


class Fault(BaseModel):
    """One field that is not as it should be."""

    field: str
    message: str


class Problem(BaseModel):
    """What went wrong, for people (`title`, `hint`) and for programs (`code`)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["urn:deploystack:problem:build-not-found"])
    title: str
    status: int
    code: str = Field(description="Stable; scripts may rely on it.")
    hint: str | None = Field(None, description="What to do about it.")
    errors: list[Fault] | None = None


def status_of(error: DeployStackError) -> int:
    if isinstance(error, SystemFault):
        return 503
    if error.code in _STATUS:
        return _STATUS[error.code]
    return 404 if error.code.endswith("-not-found") and error.code not in _FETCHED else 422


# Not found elsewhere: the request itself was understood.
_FETCHED = {"repository-not-found", "ref-not-found"}


def problem(
    status: int, code: str, title: str, hint: str = "", more: Mapping[str, Any] | None = None
) -> Response:
    body = {"type": f"urn:deploystack:problem:{code}", "title": title, "status": status}
    body |= {"code": code} | ({"hint": hint} if hint else {}) | dict(more or {})
    response = make_response(body, status)
    response.content_type = MEDIA_TYPE
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="deploystack"'
    return response


def of_error(error: DeployStackError) -> Response:
    status = status_of(error)
    if status >= 500:
        logger.warning("%s: %s", error.code, error)
    digests = getattr(error, "digests", None)
    more = {"missing": list(digests)} if digests is not None else None
    response = problem(status, error.code, error.message, error.hint, more)
    retry_after = getattr(error, "retry_after", None)
    if status == 503:
        response.headers["Retry-After"] = "5"
    elif retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def of_validation(error: ValidationError) -> Response:
    """What pydantic has to say, without what was given: it may be a secret."""
    errors = [
        {"field": ".".join(str(part) for part in found["loc"]) or "body", "message": found["msg"]}
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return problem(422, "invalid-request", "The request is not valid.", more={"errors": errors})


def handle_errors(application: Flask) -> None:
    """Have every error of an application told as a problem."""

    @application.errorhandler(DeployStackError)
    def ours(error: DeployStackError) -> Response:
        return of_error(error)

    @application.errorhandler(DataError)
    def unkeepable(error: DataError) -> Response:
        # PostgreSQL keeps no NUL in a text, and no number beyond its column's size.
        logger.info("refused by the database: %s", error)
        return problem(422, "invalid-request", "The database cannot keep a value of this request.")

    @application.errorhandler(IntegrityError)
    def overtaken(error: IntegrityError) -> Response:
        logger.info("another process was faster: %s", error)
        return problem(
            409, "conflict", "Somebody else changed this at the same moment.", "Try it again."
        )

    @application.errorhandler(HTTPException)
    def theirs(error: HTTPException) -> Response:
        if error.response is not None:
            return make_response(error.response)
        status = error.code or 500
        phrase = HTTPStatus(status).phrase
        answer = problem(status, phrase.lower().replace(" ", "-"), f"{phrase}.")
        for name, value in error.get_headers():
            if name.lower() in {"allow", "retry-after"}:
                answer.headers[name] = value
        return answer

    @application.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        logger.exception("unexpected failure", exc_info=error)
        return problem(500, "internal", "Something went wrong on our side.")
