"""A POST with an `Idempotency-Key` is done once, however often it is sent.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
The answer is kept for a day. Answers with secrets in them never are.
"""

from __future__ import annotations

import hashlib
import json

from flask import Flask, Response, g, request

from bot.api.services import Services
from bot.errors import UserError
from bot.models.ids import now
from bot.models.tables import RememberedRequest

_KEPT = 86_400_000  # ms
# A request that was not answered within this was cut off, and may be tried again.
_LONGEST_REQUEST = 600_000  # ms
_LONGEST_KEY = 255
_NEVER_KEPT = ("/api/v1/tokens",)
_HEADERS = ("Content-Type", "Location")


def remember_requests(application: Flask, services: Services) -> None:
    """Apply this to all of an application's POST routes."""

    @application.before_request
    def look_up() -> Response | None:
        given = request.headers.get("Idempotency-Key", "")
        if request.method != "POST" or not given or request.path in _NEVER_KEPT:
            return None
        if len(given) > _LONGEST_KEY:
            raise UserError("invalid-request", "An Idempotency-Key has at most 255 characters.")
        key = _digest(g.caller.key, request.path, given)
        fingerprint = _fingerprint()
        with services.database.write():
            RememberedRequest.delete().where(RememberedRequest.created_at < now() - _KEPT).execute()
            known: RememberedRequest | None = RememberedRequest.get_or_none(
                RememberedRequest.key == key
            )
            if (
                known is not None
                and not known.status
                and now() - known.created_at > (_LONGEST_REQUEST)
            ):
                known.delete_instance()
                known = None
            if known is None:
                RememberedRequest.create(key=key, fingerprint=fingerprint, created_at=now())
                g.idempotency_key = key
                return None
        return _replayed(known, fingerprint)

    @application.after_request
    def keep(response: Response) -> Response:
        key = g.pop("idempotency_key", None)
        if key is None:
            return response
        mine = RememberedRequest.key == key
        with services.database.write():
            if response.status_code >= 500 or response.status_code == 429 or response.is_streamed:
                RememberedRequest.delete().where(mine).execute()
            else:
                headers = {n: response.headers[n] for n in _HEADERS if n in response.headers}
                RememberedRequest.update(
                    status=response.status_code,
                    headers=json.dumps(headers),
                    body=response.get_data(as_text=True),
                ).where(mine).execute()
        return response


def _replayed(known: RememberedRequest, fingerprint: str) -> Response:
    if known.fingerprint != fingerprint:
        raise UserError(
            "idempotency-key-reused", "This Idempotency-Key came with another request before."
        )
    if not known.status:
        raise UserError(
            "idempotency-key-in-use", "The request with this Idempotency-Key is being worked on."
        )
    response = Response(known.body, known.status, json.loads(known.headers))
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _fingerprint() -> str:
    """Of what is asked for. Uploads are told apart by their size alone: they are not read here."""
    query = request.query_string.decode("latin-1")
    if request.mimetype == "application/json":
        return _digest(query, request.get_data().hex())
    return _digest(query, request.mimetype, str(request.content_length))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
