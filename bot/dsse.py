"""Signed envelopes (DSSE), and the Ed25519 keys that sign them, as JSON Web Keys.

Where keys are kept is `bot.signing`'s affair, and what is signed `bot.statement`'s. The
processes that only show keys never load what signs.
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, RFC 8037 (Ed25519 as a
JSON Web Key), RFC 7638 (a key's thumbprint, by which signatures name it).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PAYLOAD_TYPE = "application/vnd.in-toto+json"
# What payloads are: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`x` is the key itself, in Base64 for addresses, as JSON Web Keys have it."""

    x: str

    @property
    def id(self) -> str:
        """The thumbprint. https://www.rfc-editor.org/rfc/rfc8037#appendix-A.3"""
        text = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": self.x}, separators=(",", ":"))
        return _encoded(hashlib.sha256(text.encode()).digest())

    def as_json(self) -> dict[str, str]:
        """https://www.rfc-editor.org/rfc/rfc8037#section-2"""
        own = {"kty": "OKP", "crv": "Ed25519", "x": self.x}
        return {**own, "kid": self.id, "use": "sig", "alg": "EdDSA"}


def public_of(private: Ed25519PrivateKey) -> PublicKey:
    return public_of_bytes(private.public_key().public_bytes_raw())


def public_of_bytes(raw: bytes) -> PublicKey:
    return PublicKey(_encoded(raw))


def public_from(key: object) -> PublicKey:
    """A JSON Web Key. Raises `UserError`: `invalid-key`."""
    wanted = {"kty": "OKP", "crv": "Ed25519"}
    if isinstance(key, dict) and {name: key.get(name) for name in wanted} == wanted:
        found = PublicKey(str(key.get("x", "")).rstrip("="))
        try:
            _loaded(found)
        except ValueError:
            pass
        else:
            return found
    raise UserError("invalid-key", "That is no Ed25519 public key (a JSON Web Key of type OKP).")


def sign(payload: bytes, key: Ed25519PrivateKey) -> dict[str, Any]:
    """The envelope around a payload of `PAYLOAD_TYPE`."""
    signature = key.sign(_pre_authenticated(PAYLOAD_TYPE, payload))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": public_of(key).id, "sig": base64.b64encode(signature).decode()},
        ],
    }


def verify(envelope: object, keys: Iterable[PublicKey]) -> tuple[bytes, PublicKey]:
    """The payload, and the key that signed it.

    Raises `UserError`: `provenance-malformed`; `key-unknown` where no signature is by any of
    `keys`; `signature-invalid`.
    """
    from cryptography.exceptions import InvalidSignature

    payload, signatures = _opened(envelope)
    known = {key.id: key for key in keys}
    signed = _pre_authenticated(PAYLOAD_TYPE, payload)
    invalid = ""
    for key_id, signature in signatures:
        if key_id not in known:
            continue
        try:
            _loaded(known[key_id]).verify(signature, signed)
        except InvalidSignature:
            invalid = key_id
        else:
            return payload, known[key_id]
    if invalid:
        raise UserError("signature-invalid", f"The signature is not by the key {invalid}.")
    named = ", ".join(key_id for key_id, _ in signatures) or "none"
    raise UserError(
        "key-unknown",
        f"It is signed by the key {named}, which is not trusted.",
        f"Trusted: {', '.join(known) or 'none'}.",
    )


def _opened(envelope: object) -> tuple[bytes, list[tuple[str, bytes]]]:
    try:
        if not isinstance(envelope, Mapping) or envelope["payloadType"] != PAYLOAD_TYPE:
            raise ValueError("another type")
        payload = _decoded(envelope["payload"])
        signatures = [
            (str(one.get("keyid", "")), _decoded(one["sig"])) for one in envelope["signatures"]
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            "provenance-malformed", f"This is no signed provenance ({error!r})."
        ) from None
    return payload, signatures


def _pre_authenticated(payload_type: str, payload: bytes) -> bytes:
    """What is signed: the type and the payload, each with its length.

    https://github.com/secure-systems-lab/dsse/blob/master/protocol.md#signature-definition
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _loaded(key: PublicKey) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = base64.urlsafe_b64decode(key.x + "=" * (-len(key.x) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    return Ed25519PublicKey.from_public_bytes(raw)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: object) -> bytes:
    """Either alphabet of Base64, as the protocol has it; nothing else may be in it."""
    if not isinstance(text, str):
        raise TypeError("expected Base64")
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
