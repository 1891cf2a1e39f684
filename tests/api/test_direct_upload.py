"""Sites by their contents: what is here already is not sent again."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bot.models import provenance
from bot.models.tables import Deployment
from bot.storage import checksums
from tests.api.conftest import Running
from tests.api.test_deploy import PROJECT, SITE, left_behind, published
from tests.uploads.archives import PAGE


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: sha256(content) for path, content in files.items()}


def put(api: Running, content: bytes, digest: str = "") -> TestResponse:
    return api.request("PUT", f"/api/v1/contents/{digest or sha256(content)}", data=content)


def deploy(api: Running, files: Mapping[str, bytes], **options: Any) -> tuple[TestResponse, int]:
    """What a client does; answers (the last answer, how many contents it sent)."""
    body = {"files": manifest(files)} | options
    first = api.post("/api/v1/deployments", json=body)
    if first.status_code != 409:
        return first, 0
    by_digest = {sha256(content): content for content in files.values()}
    for digest in first.json["missing"]:
        assert put(api, by_digest[digest]).status_code == 204
    return api.post("/api/v1/deployments", json=body), len(first.json["missing"])


def test_only_what_changed_is_sent_a_second_time(api: Running) -> None:
    files = {f"pages/{n}.html": b"page %d" % n for n in range(50)} | SITE
    first, sent = deploy(api, files, project="docs")
    assert (first.status_code, sent) == (201, 52)
    files["pages/7.html"] = b"another page"
    second, sent = deploy(api, files, project="docs")
    assert (second.status_code, sent) == (201, 1)
    assert second.json["deployment_id"] != first.json["deployment_id"]
    assert published(api, second) == files
    assert left_behind(api) == []


def test_the_list_that_was_sent_is_what_is_signed(api: Running) -> None:
    answer, _ = deploy(api, SITE)
    envelope = json.loads(provenance.of_deployment(answer.json["deployment_id"]))
    made = json.loads(base64.b64decode(envelope["payload"]))
    (source,) = made["predicate"]["buildDefinition"]["resolvedDependencies"]
    listed = checksums.checksums(manifest(SITE))
    assert source["digest"]["sha256"] == checksums.digest(listed)


def test_what_is_missing_can_be_asked_for_first(api: Running) -> None:
    put(api, PAGE)
    answer = api.post("/api/v1/deployments/missing", json={"files": manifest(SITE)})
    assert answer.json == {"missing": [sha256(SITE["style.css"])]}


def test_nothing_is_recorded_while_contents_are_missing(api: Running) -> None:
    answer = api.post("/api/v1/deployments", json={"files": manifest(SITE)})
    assert (answer.status_code, answer.json["code"]) == (409, "files-missing")
    assert Deployment.select().count() == 0
    assert left_behind(api) == []


def test_a_project_that_must_be_built_is_built_from_its_contents(api: Running) -> None:
    answer, sent = deploy(api, PROJECT)
    assert (answer.status_code, sent) == (202, len(PROJECT))
    api.work()
    assert published(api, answer) == {"index.html": b"<p>built"}


def test_hidden_files_are_not_published(api: Running) -> None:
    answer, _ = deploy(api, SITE | {".env": b"SECRET=1", "node_modules/x/y.js": b"z"})
    assert published(api, answer).keys() == SITE.keys()


def test_a_site_in_a_folder_of_its_own_is_found(api: Running) -> None:
    answer, _ = deploy(api, {f"public/{path}": content for path, content in SITE.items()})
    assert published(api, answer) == SITE


def test_a_content_that_is_not_what_its_digest_says_is_refused(api: Running) -> None:
    answer = put(api, b"something", sha256(b"else"))
    assert (answer.status_code, answer.json["code"]) == (400, "digest-mismatch")
    files = {"index.html": sha256(b"else")}
    assert api.post("/api/v1/deployments", json={"files": files}).status_code == 409


def test_a_content_over_the_limit_is_refused(start: Callable[..., Running]) -> None:
    api = start(MAX_FILE_SIZE="1K")
    answer = put(api, bytes(2000))
    assert (answer.status_code, answer.json["code"]) == (413, "upload-too-large")


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["../evil"], "archive-unsafe-path"),
        (["/index.html"], "archive-unsafe-path"),
        (["a//b"], "invalid-path"),
        (["./a"], "invalid-path"),
        (["a/"], "invalid-path"),
        (["a\\b"], "invalid-path"),
        (["a", "a/b"], "archive-duplicate-name"),
        (["A", "a"], "archive-case-clash"),
        ([f"{n}" for n in range(30)], "too-many-files"),
    ],
)
def test_a_path_that_is_no_plain_one_is_refused(
    start: Callable[..., Running], paths: list[str], code: str
) -> None:
    api = start(MAX_FILES=20)
    body = {"files": dict.fromkeys(paths, sha256(b""))}
    answer = api.post("/api/v1/deployments", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, code)


@pytest.mark.parametrize("files", [{}, {"a": "x"}, {"a": "A" * 64}, {"a": 1}, []])
def test_a_manifest_that_is_none_is_refused(api: Running, files: Any) -> None:
    answer = api.post("/api/v1/deployments", json={"files": files})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-request")
