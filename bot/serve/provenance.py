"""What the bot says of deployments under /.well-known/deploystack/, on every host it serves.

keys.json                      the public keys, as a JSON Web Key Set
deploy.json, files.sha256      of the deployment that the host shows
<key>/deploy.json, …           of a commit or a deployment, on the bot's own host
~/<project>/<name>/…           of what an alias shows, likewise

No site has files in there (`bot.builders.output`), and no rule of a site is asked, so that none
can put its own word in the place of the bot's. https://www.rfc-editor.org/rfc/rfc8615
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from bot.dsse import PublicKey
from bot.models import provenance
from bot.serve.access import Gate, private
from bot.serve.address import FULL_KEY, alias_path
from bot.serve.answers import Environ, StartResponse, status_line
from bot.serve.site import Site
from bot.storage import checksums
from bot.storage.store import Store

PREFIX = "/.well-known/deploystack/"
_KEYS, _SIGNED, _FILES = "keys.json", "deploy.json", "files.sha256"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Asked:
    """`base` is where `name` lies in; of no deployment where both `key` and `alias` are empty."""

    base: str
    name: str
    key: str = ""
    alias: str = ""


def asked(path: str, site_key: str) -> Asked | None:
    """What a path below `PREFIX` means; `site_key`: of the deployment whose host it is."""
    base, _, name = path.rpartition("/")
    base += "/"
    if path == PREFIX + _KEYS:
        return Asked(base, name)
    if name not in {_SIGNED, _FILES}:
        return None
    if site_key:
        return Asked(base, name, key=site_key) if base == PREFIX else None
    inner = base[len(PREFIX) :]
    if FULL_KEY.fullmatch(inner[:-1]):
        return Asked(base, name, key=inner[:-1])
    alias = alias_path(f"/{inner}")
    if alias is None or alias.rest:
        return None
    return Asked(base, name, alias=alias.address)


class Provenance:
    """Answers what was asked; shared by all requests of a process."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def answer(
        self, asked: Asked, site: Site | None, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        if asked.name == _KEYS:
            return _answer(environ, start_response, _JSON, published_keys())
        if site is None:
            return nothing(environ, start_response)
        if site.access is not None:
            barred = self._gate.answer(site.access, environ, start_response, asked.base, asked.name)
            if barred is not None:
                return barred
            start_response = private(start_response)
        if asked.name == _SIGNED:
            envelope = provenance.of_deployment(site.deployment_id)
            if not envelope:
                return nothing(environ, start_response)
            return _answer(environ, start_response, _JSON, envelope.encode())
        files = self._store.manifest(site.deployment_id).files
        return _answer(environ, start_response, _TEXT, checksums.of_entries(files))


def published_keys() -> bytes:
    """https://www.rfc-editor.org/rfc/rfc7517#section-5"""
    return json.dumps({"keys": [PublicKey(x).as_json() for x in provenance.public_keys()]}).encode()


def nothing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = b'{"title": "There is no such provenance.", "status": 404}'
    return _answer(environ, start_response, "application/problem+json", body, 404)


def _answer(
    environ: Environ,
    start_response: StartResponse,
    media_type: str,
    body: bytes,
    status: int = 200,
) -> Iterable[bytes]:
    start_response(
        status_line(status),
        [
            ("Content-Type", media_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-cache"),
            ("X-Content-Type-Options", "nosniff"),
        ],
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
