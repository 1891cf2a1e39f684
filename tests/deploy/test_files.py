"""The files that operators deploy by, each checked by the tool or schema made for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bot.settings import SETTINGS
from tests.programs import require_program

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# Read by libraries that the bot uses (boto3), not by the bot.
FOREIGN = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PYTHONUNBUFFERED", "PATH"}


def run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def test_the_dockerfile_is_clean() -> None:
    run(tool("hadolint"), str(DEPLOY / "Dockerfile"))


def test_the_compose_file_is_valid() -> None:
    run(
        tool("check-jsonschema"),
        "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yml"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted((DEPLOY / "kubernetes").glob("*.yml")), ids=lambda p: p.stem
)
def test_kubernetes_manifests_are_valid(path: Path) -> None:
    run(tool("kubernetes-validate"), "--strict", str(path))


@pytest.mark.parametrize(
    "path", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda p: p.stem
)
def test_systemd_units_are_valid(path: Path, tmp_path: Path) -> None:
    analyze = require_program("systemd-analyze")
    text = path.read_text().replace("/opt/deploystack/.venv/bin/", "/bin/sh -c /opt/")
    copy = tmp_path / path.name
    copy.write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    complaints = [line for line in done.stderr.splitlines() if path.name in line]
    assert not complaints


def test_every_setting_that_they_name_exists() -> None:
    known = {setting.name for setting in SETTINGS} | FOREIGN
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    base = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "base.yml").read_text()))
    used = set(compose["x-bot"]["environment"])
    used |= {
        name for part in base for name in {**part.get("data", {}), **part.get("stringData", {})}
    }
    assert "DATABASE_URL" in used
    assert used <= known, used - known
    for unit in (DEPLOY / "systemd").glob("*.service"):
        for line in re.findall(r"^Environment=(.+)$", unit.read_text(), re.MULTILINE):
            assert {word.partition("=")[0] for word in line.split()} <= known


def test_the_compose_file_asks_for_every_secret_that_it_needs() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (DEPLOY / "compose.yml").read_text()))
    offered = set(
        re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE)
    )
    assert asked <= offered
