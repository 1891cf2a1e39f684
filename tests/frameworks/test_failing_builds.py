"""Builds that real programs refuse, from the registry: the words that their authors get.

What these programs print is theirs to change; where they do, a test here fails.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import harness
from tests.frameworks.cases import CASES
from tests.journeys.conftest import Bot
from tests.programs import require_program

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(1800)]

# As `create-next-app` writes it, but for the export.
_LAYOUT = """\
import { Geist, Geist_Mono } from "next/font/google";
import "./style.css";

const geistSans = Geist({ variable: "--font-geist-sans", subsets: ["latin"] });
const geistMono = Geist_Mono({ variable: "--font-geist-mono", subsets: ["latin"] });

export default function RootLayout({ children }) {
  return (
    <html lang="en" className={`${geistSans.variable} ${geistMono.variable}`}>
      <body>{children}</body>
    </html>
  );
}
"""
_CASES = {case.name: case for case in CASES}


def _words(bot: Bot, folder: Path, files: Mapping[str, str], name: str, code: str) -> str:
    """Push `files` on top of what `folder` holds; what is said when the build has failed."""
    require_program("npm")
    sha = bot.push(dict(files), folder, name)
    build: dict[str, Any] = bot.ended(sha, seconds=900)
    log = bot.get(f"/builds/{build['id']}/log").text
    assert (build["status"], build["error_code"]) == ("failed", code), log
    words = str(build["error_message"])
    assert words.rpartition(". ")[2] in log
    return words


def test_the_stock_template_of_next_js_wants_fonts_of_google(by_path: Bot, tmp_path: Path) -> None:
    folder = tmp_path / "next"
    harness.lay_out(_CASES["next"], folder)
    # So that the fonts are out of reach wherever this runs.
    files = {
        "app/layout.jsx": _LAYOUT,
        "deploystack.toml": '[build]\nnetwork = "install-only"\n',
    }
    words = _words(by_path, folder, files, "next-google-fonts", "build-failed")
    assert "The build wants fonts from Google, which cannot be reached from here" in words
    assert "next/font/local" in words


def test_a_lockfile_that_npm_ci_refuses(by_path: Bot, tmp_path: Path) -> None:
    folder = tmp_path / "vite"
    harness.lay_out(_CASES["vite-vanilla"], folder)
    content = json.loads((folder / "package.json").read_text())
    content["dependencies"]["left-pad"] = "1.3.0"
    files = {"package.json": json.dumps(content)}
    words = _words(by_path, folder, files, "refused-lockfile", "install-failed")
    assert "package.json and the lockfile do not agree (Missing: left-pad@1.3.0 from" in words
    assert "install once on your machine and commit the lockfile" in words


def test_a_dependency_that_wants_an_older_react(by_path: Bot, tmp_path: Path) -> None:
    dependencies = {"react": "19", "react-dom": "19", "react-beautiful-dnd": "13.1.1"}
    package = {"name": "x", "scripts": {"build": "true"}, "dependencies": dependencies}
    files = {"package.json": json.dumps(package)}
    words = _words(by_path, tmp_path / "peers", files, "peer-conflict", "install-failed")
    assert 'a peer dependency (react@"^16.8.5 || ^17.0.0 || ^18.0.0" from react-beautif' in words
    assert "legacy-peer-deps=true" in words
