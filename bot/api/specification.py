"""The OpenAPI description: what the library makes of the routes and models, completed.

What holds for every operation is added here once: problems, tokens, idempotency keys.
https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from typing import Any

from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel

from bot.api import problems
from bot.api.deploy import BODY, DeployRepository

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
# What any operation may answer, and what that means.
_ALWAYS = {
    "400": "The request cannot be understood.",
    "401": "There is no valid token.",
    "403": "The token does not allow this.",
    "409": "It is not as this needs it, or was changed at the same moment.",
    "422": "The request is understood, and not possible.",
    "429": "Too many requests.",
    "503": "A part that this needs does not answer now.",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "With the same key, the same request is done once and answered again.",
}
_METHODS = ("get", "put", "post", "delete", "patch")


def specification(api: OpenAPI) -> dict[str, Any]:
    """The whole description as JSON values."""
    document: dict[str, Any] = api.api_doc
    document["security"] = [{"bearer": []}]
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                _complete(item[method], path, method)
    document["paths"]["/deploy"]["post"]["requestBody"] = BODY
    schemas = document["components"]["schemas"]
    schemas[DeployRepository.__name__] = _schema_of(DeployRepository)
    return document


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    responses = operation.setdefault("responses", {})
    for status, description in _ALWAYS.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        if int(status) >= 400:
            response["content"] = {problems.MEDIA_TYPE: {"schema": _PROBLEM}}
    if method == "get":
        responses.setdefault("304", {"description": "It has not changed (`If-None-Match`)."})
    if method == "post" and path != "/api/v1/tokens":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(ref_template="#/components/schemas/{model}")
