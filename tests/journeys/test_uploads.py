"""Uploads over real HTTP: a zip becomes a page, at once or by a build."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
import zipfile
from typing import Any

import pytest

from tests.journeys.conftest import Bot, wait_for

pytestmark = pytest.mark.journey


def archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for path, text in files.items():
            made.writestr(path, text)
    return content.getvalue()


def deploy(bot: Bot, body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{bot.url}/deploy", data=body, headers={"Content-Type": "application/zip"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_zip_with_an_index_page_is_live_when_it_is_answered(bot: Bot) -> None:
    status, answer = deploy(bot, archive({"site/index.html": "zipped", "site/a.txt": "a"}))
    assert status == 201, answer
    path = f"/{answer['deployment_id']}/"
    assert answer["url"].endswith(path)
    assert bot.get(path).text == "zipped"
    assert bot.get(f"{path}a.txt").text == "a"


def test_a_zip_with_a_build_script_is_built(bot: Bot) -> None:
    script = "mkdir dist && echo built > dist/index.html"
    package = json.dumps({"name": "zipped", "scripts": {"build": script}})
    status, answer = deploy(bot, archive({"package.json": package}))
    assert status == 202, answer
    path = f"/{answer['deployment_id']}/"
    wait_for(lambda: bot.get(path).status == 200, "the upload to be built")
    assert bot.get(path).text == "built\n"


def test_a_zip_that_would_escape_is_refused_in_words(bot: Bot) -> None:
    status, answer = deploy(bot, archive({"../../escape.html": "out"}))
    assert 400 <= status < 500
    assert answer["code"]
