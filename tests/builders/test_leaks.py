"""The leak gate: a secret is found however it is written, and never shown."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from bot.builders.leaks import CODE, LeakGate, forms, own_secrets
from bot.builders.log import FileLog
from bot.builders.looking import LARGEST, looked_at
from bot.errors import UserError
from bot.secret import Secret
from bot.settings import Settings

VALUE = "s3cr3t/+& \u00e9\"x'"
KEY = "-----BEGIN KEY-----\nAbCd+/12\nEfGh==\n-----END KEY-----"


def gate(**secrets: str) -> LeakGate:
    return LeakGate({name: Secret(value) for name, value in secrets.items()})


def leak(text: bytes, size: int = 1 << 20, **secrets: str) -> str:
    """What the gate says of a file with this text, read in pieces of `size`."""
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    with pytest.raises(UserError) as caught:
        gate(**secrets or {"TOKEN": VALUE}).check("a/b.js", chunks)
    assert caught.value.code == CODE
    assert VALUE not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize(
    "written",
    [
        VALUE.encode(),
        json.dumps(VALUE).encode(),
        json.dumps(VALUE, ensure_ascii=False).encode(),
        quote(VALUE).encode(),
        quote(VALUE, safe="").encode(),
        quote_plus(VALUE).encode(),
        html.escape(VALUE).encode(),
        *(base64.b64encode(b"user:"[:n] + VALUE.encode() + b"?" * n) for n in range(6)),
        *(base64.urlsafe_b64encode(b"x" * n + VALUE.encode() + b"yz") for n in range(3)),
        b"\x00\xff" + VALUE.encode() + b"\x89PNG",
    ],
)
def test_a_secret_is_found_however_it_is_written(written: bytes) -> None:
    assert leak(b"one\ntwo\nthree " + written) == (
        "The secret TOKEN would be published: it is in a/b.js, line 3."
    )


def test_a_key_of_several_lines_is_found_in_a_string_of_one() -> None:
    assert "line 1" in leak(json.dumps(KEY).encode(), KEY=KEY)
    assert "line 1" in leak(KEY.replace("\n", "\r\n").encode(), KEY=KEY)


@pytest.mark.parametrize("size", [1, 2, 5, 13, 14, 100])
def test_a_secret_across_pieces_is_found_at_its_line(size: int) -> None:
    text = b"x\n" * 40 + VALUE.encode() + b"\n" * 9
    assert "line 41" in leak(text, size)


def test_any_place_in_any_pieces_is_found() -> None:
    chance = random.Random(7)
    for _ in range(200):
        before = bytes(chance.choice(b"ab\n") for _ in range(chance.randrange(60)))
        size = chance.randrange(1, 40)
        line = before.count(b"\n") + 1
        assert f"line {line}." in leak(before + b"0123456789" + b"\n" * 5, size, A="0123456789")


def test_what_is_not_there_is_not_found_and_all_chunks_come_through() -> None:
    chunks = [b"s3cr3t/", b"nothing", b""]
    assert list(gate(TOKEN=VALUE).reading("x", chunks)) == chunks


def test_short_values_are_looked_for_nowhere() -> None:
    short = gate(A="1234567", B="")
    assert not short
    short.check("x", [b"1234567"])


def test_the_first_secret_of_several_is_named(tmp_path: Path) -> None:
    for name, text in (("a.txt", "fine"), ("b.bin", "xx second-secret"), ("c", "first-secret")):
        (tmp_path / name).write_text(text)
    files = [(path.name, path) for path in sorted(tmp_path.iterdir())]
    with pytest.raises(UserError, match=r"The secret B would be published: it is in b\.bin, line"):
        list(looked_at(files, [gate(A="first-secret", B="second-secret")]))


@pytest.mark.parametrize("size", [0, 1 << 20, (1 << 20) - 1, 3 << 20, LARGEST])
def test_a_file_of_any_size_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"\n" * size + b"0123456789")
    with pytest.raises(UserError, match=f"line {size + 1}."):
        list(looked_at([("large", file)], [gate(A="0123456789")]))
    content = b"\n" * size
    file.write_bytes(content)
    ((path, _, known),) = looked_at([("large", file)], [gate(A="0123456789")])
    assert (path, known) == ("large", (hashlib.sha256(content).hexdigest(), size))
    file.write_bytes(content + b"\n" * (LARGEST + 1))
    ((path, _, known),) = looked_at([("large", file)], [gate(A="0123456789")])
    assert (path, known) == ("large", None)


def test_what_a_link_leads_to_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        list(looked_at([("link", tmp_path / "link")], []))


def test_the_bots_own_secrets_are_guarded_by_the_names_of_their_settings(
    make_settings: Callable[..., Settings],
) -> None:
    given = {"GITHUB_TOKEN": "ghp_token", "GITHUB_WEBHOOK_SECRET": "new,old"}
    settings = make_settings(**given, GITHUB_CLIENT_SECRET="of-the-app", SECRETS_KEY="k")
    found = {name: secret.reveal() for name, secret in own_secrets(settings).items()}
    assert found["GITHUB_TOKEN"] == "ghp_token"
    assert found["GITHUB_WEBHOOK_SECRET (2)"] == "old"
    assert set(found) == {
        *("GITHUB_TOKEN", "GITHUB_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET (2)"),
        *("GITHUB_CLIENT_SECRET", "SECRETS_KEY"),
    }


def test_forms_are_found_wherever_base64_begins() -> None:
    chance = random.Random(3)
    for _ in range(300):
        value = "".join(chance.choice("abcXYZ019+/") for _ in range(chance.randrange(8, 40)))
        around = chance.randbytes(chance.randrange(7)), chance.randbytes(chance.randrange(7))
        text = base64.b64encode(around[0] + value.encode() + around[1])
        assert any(form in text for form in forms(value))


def test_looking_keeps_up_with_publishing() -> None:
    """Ten secrets, 20 MB: it must not be what a build waits for."""
    secrets = {f"S{n}": random.Random(n).randbytes(20).hex() for n in range(10)}
    content = [random.Random(1).randbytes(1 << 20)] * 20
    started = time.monotonic()
    gate(**secrets).check("x", content)
    assert time.monotonic() - started < 2


def test_the_log_masks_a_secret_in_every_form_and_remembers_where(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "log", 1 << 20)
    log.guard({"TOKEN": Secret(VALUE)})
    log.write(b"fine\nalso fine\n")
    assert log.leak is None
    encoded = base64.b64encode(b"u:" + VALUE.encode())
    log.write(b"header: " + encoded[:9])
    log.write(encoded[9:] + b"\n" + VALUE.encode() + b"\n")
    log.close()
    assert log.leak is not None
    assert (log.leak.name, log.leak.line) == ("TOKEN", 3)
    text = (tmp_path / "log").read_text()
    assert VALUE not in text
    assert encoded.decode()[6:-4] not in text
    assert text.count("[REDACTED]") == 2


def test_masking_another_text_is_no_leak(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "log", 1 << 20)
    log.guard({"TOKEN": Secret(VALUE)})
    assert log.masked(f"failed with {VALUE}") == "failed with [REDACTED]"
    assert log.leak is None
    log.close()
