"""Envelopes, keys, and lists of files: by the standards' own examples where they have any."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bot import dsse
from bot.errors import InvalidSetting, UserError
from bot.settings import Settings
from bot.signing import Signer
from bot.storage import checksums


def pem_of(key: Any) -> str:
    raw: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return raw.decode()


def test_what_is_signed_is_the_type_and_the_payload_with_their_lengths() -> None:
    """https://github.com/secure-systems-lab/dsse/blob/master/protocol.md#test-vectors"""
    made = dsse._pre_authenticated("http://example.com/HelloWorld", b"hello world")
    assert made == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_a_keys_id_is_its_thumbprint() -> None:
    """https://www.rfc-editor.org/rfc/rfc8037#appendix-A.3"""
    key = dsse.PublicKey("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert key.id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert dsse.public_from(key.as_json()) == key


@pytest.mark.parametrize(
    "key",
    [
        None,
        [],
        {"kty": "RSA", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "OKP", "crv": "X25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "é"},
    ],
)
def test_what_is_no_ed25519_key_is_refused(key: object) -> None:
    with pytest.raises(UserError) as caught:
        dsse.public_from(key)
    assert caught.value.code == "invalid-key"


def envelope(payload: bytes = b'{"a":1}') -> tuple[dict[str, Any], dsse.PublicKey]:
    key = Ed25519PrivateKey.generate()
    return dsse.sign(payload, key), dsse.public_of(key)


def test_a_signed_payload_is_given_back() -> None:
    made, key = envelope()
    _, other = envelope()
    assert dsse.verify(made, [other, key]) == (b'{"a":1}', key)
    # Both alphabets are allowed.
    made["payload"] = base64.urlsafe_b64encode(b'{"a":1}').decode()
    assert dsse.verify(made, [key])[0] == b'{"a":1}'


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda e: e | {"payload": base64.b64encode(b'{"a":2}').decode()}, "signature-invalid"),
        (
            lambda e: e | {"signatures": [{**e["signatures"][0], "sig": "AAAA"}]},
            "signature-invalid",
        ),
        (lambda e: e | {"signatures": [{**e["signatures"][0], "keyid": "x"}]}, "key-unknown"),
        (lambda e: e | {"signatures": []}, "key-unknown"),
        (lambda e: e | {"payloadType": "text/plain"}, "provenance-malformed"),
        (lambda e: e | {"payload": "%%%"}, "provenance-malformed"),
        (lambda e: e | {"payload": 1}, "provenance-malformed"),
        (lambda e: e | {"signatures": [1]}, "provenance-malformed"),
        (lambda e: {}, "provenance-malformed"),
        (lambda e: None, "provenance-malformed"),
    ],
)
def test_what_was_changed_is_refused(change: Callable[[Any], object], code: str) -> None:
    made, key = envelope()
    with pytest.raises(UserError) as caught:
        dsse.verify(change(made), [key])
    assert caught.value.code == code


def test_a_key_is_made_once_and_is_its_owners_alone(settings: Settings) -> None:
    first = Signer(settings).public
    path = settings.DATA_DIR / "provenance-key.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE KEY" in path.read_text()
    assert Signer(settings).public == first


def test_the_settings_key_is_shared_by_all_machines(
    make_settings: Callable[..., Settings],
) -> None:
    key = Ed25519PrivateKey.generate()
    settings = make_settings(PROVENANCE_KEY=pem_of(key))
    assert Signer(settings).public == dsse.public_of(key)
    assert not (settings.DATA_DIR / "provenance-key.pem").exists()
    signed = json.loads(Signer(settings).sign({"ü": 1}))
    assert json.loads(dsse.verify(signed, [dsse.public_of(key)])[0]) == {"ü": 1}


@pytest.mark.parametrize(
    "text",
    [
        pem_of(generate_private_key(SECP256R1())),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ],
)
def test_another_kind_of_key_is_refused_by_name(
    make_settings: Callable[..., Settings], text: str
) -> None:
    with pytest.raises(InvalidSetting, match="PROVENANCE_KEY"):
        _ = Signer(make_settings(PROVENANCE_KEY=text)).public


def test_the_list_of_files_is_what_sha256sum_prints() -> None:
    a, b = "a" * 64, "b" * 64
    text = checksums.checksums({"z.txt": a, "a b/é.html": b, "new\nline\\": a})
    assert text.decode() == f"{b}  a b/é.html\n\\{a}  new\\nline\\\\\n{a}  z.txt\n"
    assert checksums.parse(text) == {"z.txt": a, "a b/é.html": b, "new\nline\\": a}
    with pytest.raises(ValueError, match="sha256sum"):
        checksums.parse(b"what is this?\n")
