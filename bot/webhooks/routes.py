"""`POST /webhooks/github`: a bare WSGI callable, since this is the path that has a benchmark.

Reads the body, verifies, parses, hands over to `Intake`; answers in JSON.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from bot.errors import SystemFault
from bot.events import Bus
from bot.models.database import Database
from bot.models.group_commit import GroupCommit
from bot.settings import Settings
from bot.webhooks import events
from bot.webhooks.events import LARGEST_BODY, BadDelivery
from bot.webhooks.intake import Intake
from bot.webhooks.outcome import Outcome
from bot.webhooks.signature import verify_signature

logger = logging.getLogger(__name__)
StartResponse = Callable[..., Any]
_CHUNK = 64 * 1024


_OUR_FAULT = BadDelivery(
    "internal",
    "The delivery could not be recorded.",
    "This is not the sender's doing. Redeliver it from the webhook's settings.",
    status=500,
)
_UNAVAILABLE = BadDelivery(
    "unavailable",
    "The delivery could not be recorded now.",
    "This is not the sender's doing. Redeliver it from the webhook's settings.",
    status=503,
)


class Unauthorized(Exception):
    """The signature does not fit. The sender is told nothing more."""


def webhook_application(
    settings: Settings,
    database: Database,
    bus: Bus,
    wake: Callable[[Sequence[str]], None],
) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """The WSGI callable of the webhook's address."""
    intake = Intake(settings, GroupCommit(database), bus, wake)

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            status, answer = _receive(environ, settings, intake)
        except Unauthorized:
            status, answer = 401, {"title": "Unauthorized", "status": 401}
        except BadDelivery as error:
            status, answer = error.status, _problem(error)
        except SystemFault as fault:
            # GitHub shows it as failed; it can be delivered again, and will be asked for.
            logger.warning("a delivery could not be taken in: %s", fault)
            status, answer = 503, _problem(_UNAVAILABLE)
        except Exception:
            logger.exception("a delivery could not be taken in")
            status, answer = 500, _problem(_OUR_FAULT)
        kind = "application/json" if status < 400 else "application/problem+json"
        content = msgspec.json.encode(answer)
        headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        if status == 405:
            headers.append(("Allow", "POST"))
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [content]

    return application


def _receive(
    environ: dict[str, Any], settings: Settings, intake: Intake
) -> tuple[int, dict[str, Any]]:
    if environ["REQUEST_METHOD"] != "POST":
        raise BadDelivery("method-not-allowed", "Deliveries are POSTed.", status=405)
    body = _read(environ)
    if not verify_signature(
        body, environ.get("HTTP_X_HUB_SIGNATURE_256"), settings.GITHUB_WEBHOOK_SECRET
    ):
        raise Unauthorized
    guid = events.guid(environ.get("HTTP_X_GITHUB_DELIVERY"))
    name = environ.get("HTTP_X_GITHUB_EVENT")
    event = events.parse(name, environ.get("CONTENT_TYPE"), body)
    outcome = intake.take(guid, str(name), hashlib.sha256(body).hexdigest(), event)
    return _answer(outcome, settings)


def _read(environ: dict[str, Any]) -> bytes:
    """The whole body, whatever its Content-Length claims; raises `BadDelivery` when too large."""
    too_large = BadDelivery(
        "payload-too-large", f"A delivery is at most {LARGEST_BODY} bytes.", status=413
    )
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared and (not declared.isdecimal() or int(declared) > LARGEST_BODY):
        raise too_large
    if declared:
        body: bytes = environ["wsgi.input"].read(int(declared))
        if len(body) < int(declared):
            raise BadDelivery("truncated-body", "The body is shorter than its Content-Length.")
        return body
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if not chunked or not environ.get("wsgi.input_terminated"):
        raise BadDelivery(
            "length-required",
            "The body's length is not known.",
            "Send Content-Length, or the body in chunks.",
            status=411,
        )
    chunks, size = [], 0
    while chunk := environ["wsgi.input"].read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_BODY:
            raise too_large
    return b"".join(chunks)


def _answer(outcome: Outcome, settings: Settings) -> tuple[int, dict[str, Any]]:
    """202 where work was queued, 200 where there was nothing to do."""
    answer: dict[str, Any] = {"outcome": "accepted" if outcome.accepted else "ignored"}
    if outcome.reason:
        answer["reason"] = outcome.reason
    if outcome.deployment_id:
        answer["deployment_id"] = outcome.deployment_id
        answer["build_id"] = outcome.build_id
        answer["url"] = settings.deployment_url(outcome.sha)
        answer["build_url"] = settings.build_url(outcome.build_id)
    return (202 if outcome.woken else 200), answer


def _problem(error: BadDelivery) -> dict[str, Any]:
    """https://www.rfc-editor.org/rfc/rfc9457"""
    problem = {"title": error.message, "status": error.status, "code": error.code}
    if error.hint:
        problem["hint"] = error.hint
    return problem
