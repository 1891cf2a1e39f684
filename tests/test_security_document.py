"""docs/security.md: each threat has a test, and each test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
THREATS = (
    "webhook forger",
    "malicious repository",
    "hostile preview",
    "malicious uploader",
    "stolen token",
    "compromised worker",
)


def sections() -> dict[str, str]:
    parts = re.split(r"^## ", (ROOT / "docs" / "security.md").read_text(), flags=re.MULTILINE)
    return {part.partition("\n")[0].lower(): part for part in parts[1:]}


def test_every_threat_has_tests() -> None:
    found = sections()
    for threat in THREATS:
        assert re.search(r"`tests/\S+::test_\w+`", found[f"the {threat}"]), threat


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(
        r"`(tests/\S+\.py)::(test_\w+)`", (ROOT / "docs" / "security.md").read_text()
    )
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert not missing
