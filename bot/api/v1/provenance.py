"""Deployments' signed provenance, and the end of trust in a key (docs/provenance.md)."""

from __future__ import annotations

import json
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.schemas import DeploymentPath
from bot.errors import UserError
from bot.models import audit, provenance
from bot.models.tokens import Scope


class Signature(BaseModel):
    keyid: str = Field(description="The key's thumbprint (RFC 7638).")
    sig: str


class Envelope(BaseModel):
    """https://github.com/secure-systems-lab/dsse/blob/master/envelope.md"""

    payloadType: str  # noqa: N815 (the standard's own name)
    payload: str = Field(description="An in-toto statement with SLSA provenance, in Base64.")
    signatures: list[Signature]


class KeyPath(BaseModel):
    key_id: str = Field(max_length=64)


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint(
        "provenance", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="provenance")]
    )

    @api.get(
        "/deployments/<deployment_id>/deploy.json",
        summary="A deployment's signed provenance",
        description="Also at /.well-known/deploystack/<commit or deployment>/deploy.json.",
        responses={200: Envelope, 404: Problem},
    )
    def get_provenance(path: DeploymentPath) -> Response:
        found = find.deployment(path.deployment_id, Scope.READ)
        envelope = provenance.of_deployment(found.id)
        if not envelope:
            raise UserError("provenance-not-found", "Nothing is signed of this deployment.")
        told: dict[str, Any] = json.loads(envelope)
        return answer(Envelope.model_validate(told))

    @api.delete(
        "/signing-keys/<key_id>",
        summary="Trust a key no more",
        description=(
            "What it signed cannot be verified from then on. Do this when a key is lost to "
            "somebody; one that was only replaced stays listed."
        ),
        responses={204: None, 404: Problem},
    )
    def revoke_key(path: KeyPath) -> Response:
        find.caller().require_everywhere(Scope.ADMIN)
        with services.database.write():
            if not provenance.revoke_key(path.key_id):
                raise UserError("key-not-found", "There is no such key in force.")
            audit.note(find.caller().name, "signing-key.revoke", path.key_id)
        return nothing()

    return api
