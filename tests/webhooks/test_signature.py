"""Signatures, with GitHub's own example."""

from __future__ import annotations

import pytest

from bot.secret import Secret
from bot.webhooks.signature import sign, verify_signature

# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
SECRET = Secret("It's a Secret to Everybody")
BODY = b"Hello, World!"
HEADER = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_githubs_documented_example() -> None:
    assert sign(BODY, SECRET) == HEADER
    assert verify_signature(BODY, HEADER, [SECRET])


def test_two_secrets_are_valid_during_rotation() -> None:
    assert verify_signature(BODY, HEADER, [Secret("new"), SECRET])
    assert verify_signature(BODY, HEADER, [SECRET, Secret("new")])


@pytest.mark.parametrize(
    ("body", "header", "secrets"),
    [
        (BODY + b" ", HEADER, [SECRET]),
        (BODY, None, [SECRET]),
        (BODY, "", [SECRET]),
        (BODY, HEADER.removeprefix("sha256="), [SECRET]),
        (BODY, HEADER.replace("sha256", "sha1"), [SECRET]),
        (BODY, HEADER[:-1], [SECRET]),
        (BODY, HEADER.upper(), [SECRET]),
        (BODY, "sha256=é", [SECRET]),
        (BODY, HEADER, []),
        (BODY, HEADER, [Secret("other")]),
        (BODY, sign(BODY, Secret("")), [Secret("")]),
    ],
)
def test_anything_else_is_refused(body: bytes, header: str | None, secrets: list[Secret]) -> None:
    assert not verify_signature(body, header, secrets)
