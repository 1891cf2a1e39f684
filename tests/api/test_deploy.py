from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bot.models import deployments
from bot.models.status import AliasKind
from bot.models.tables import Alias, Build, Deployment, Project
from bot.models.tokens import Scope
from tests.api.conftest import Running
from tests.builders.repositories import GitServer, Repository
from tests.uploads import archives
from tests.uploads.archives import PAGE, gzipped, tar_of_files, zip_of

SITE = {"index.html": PAGE, "style.css": b"h1{}"}
# Needs a build that needs no network: there is nothing to install.
PROJECT = {
    "package.json": json.dumps(
        {"name": "x", "scripts": {"build": "mkdir -p dist && cp page.html dist/index.html"}}
    ).encode(),
    "package-lock.json": json.dumps(
        {"name": "x", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "x"}}}
    ).encode(),
    "page.html": b"<p>built",
}


def upload(api: Running, content: bytes, name: str = "site.zip", **fields: str) -> TestResponse:
    data: dict[str, Any] = {"file": (io.BytesIO(content), name), **fields}
    return api.post("/deploy", data=data)


def published(api: Running, answer: TestResponse) -> dict[str, bytes]:
    manifest = api.store.manifest(answer.json["deployment_id"])
    found = {}
    for path, entry in manifest.files.items():
        with api.store.open(entry.digest) as content:
            found[path] = content.read()
    return found


def left_behind(api: Running) -> list[str]:
    """What there still is once there was time to remove it: nobody waits for that."""
    folder = api.settings.DATA_DIR / "uploads"
    deadline = time.monotonic() + 5
    while (found := os.listdir(folder) if folder.exists() else []) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize(
    "content",
    [zip_of(SITE), gzipped(tar_of_files(SITE)), archives.zstandard_of(tar_of_files(SITE))],
    ids=["zip", "tar.gz", "tar.zst"],
)
def test_an_archive_with_an_index_page_is_live_at_once(api: Running, content: bytes) -> None:
    answer = upload(api, content)
    assert answer.status_code == 201, answer.text
    found = answer.json
    assert found["url"] == f"http://localhost:8000/{found['deployment_id']}/"
    assert answer.headers["Location"] == found["url"]
    assert (found["status"], found["project"]) == ("ready", "site")
    assert published(api, answer) == SITE
    assert api.woken == []
    assert left_behind(api) == []


def test_nobody_waits_for_what_only_makes_the_page_faster(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    laid_out: list[bool] = []
    monkeypatch.setattr(api.store, "lay_out", lambda _manifest: laid_out.append(answered.wait(10)))
    assert upload(api, zip_of(SITE)).status_code == 201
    answered.set()
    api.client.application.extensions["uploads"].settle()
    assert laid_out == [True]


def test_an_upload_may_say_itself_how_it_is_built(api: Running) -> None:
    site = {"deploystack.toml": b'[build]\noutput = "site"\n', "site/index.html": PAGE}
    answer = upload(api, zip_of(site))
    assert answer.status_code == 201
    assert published(api, answer) == {"index.html": PAGE}


@pytest.mark.parametrize("how", ["archive", "by digest"])
def test_what_an_upload_says_is_to_run_is_run(api: Running, how: str) -> None:
    toml = b'[build]\ncommand = "mkdir out && cp page.txt out/index.html"\noutput = "out"\n'
    # An index page by itself would be published as it is.
    project = {"deploystack.toml": toml, "page.txt": PAGE, "index.html": b"unbuilt"}
    if how == "archive":
        answer = upload(api, zip_of(project))
    else:
        files = {path: hashlib.sha256(content).hexdigest() for path, content in project.items()}
        for path, digest in files.items():
            api.request("PUT", f"/api/v1/contents/{digest}", data=project[path])
        answer = api.post("/api/v1/deployments", json={"files": files})
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    api.worker.build(api.woken.pop())
    assert published(api, answer) == {"index.html": PAGE}


def test_the_archive_may_be_the_body_itself(api: Running) -> None:
    answer = api.post("/deploy?project=blog", data=zip_of(SITE), content_type="application/zip")
    assert (answer.status_code, answer.json["project"]) == (201, "blog")


def test_an_archive_that_must_be_built_is_queued_and_built_by_a_worker(api: Running) -> None:
    answer = upload(api, zip_of(PROJECT))
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    assert answer.headers["Location"] == answer.json["status_url"]
    assert api.woken == [answer.json["build_id"]]
    api.work()
    build = deployments.find_build(answer.json["build_id"])
    assert build is not None
    assert (build.status, build.error_message) == ("ready", "")
    assert published(api, answer) == {"index.html": b"<p>built"}


def test_an_upload_can_be_built_a_second_time_from_its_archive(api: Running) -> None:
    answer = upload(api, zip_of(PROJECT))
    api.work()
    with api.database.write():
        again = deployments.retry_build(answer.json["deployment_id"])
    api.woken.append(again.build_id)
    api.work()
    build = deployments.find_build(again.build_id)
    assert build is not None
    assert build.status == "ready"


def test_production_is_pointed_at_the_newest_upload_that_asked_for_it(api: Running) -> None:
    first = upload(api, zip_of(SITE), production="yes").json["deployment_id"]
    alias = Alias.get(Alias.kind == AliasKind.PRODUCTION)
    assert alias.deployment_id == first
    upload(api, zip_of(SITE))
    assert Alias.get(Alias.kind == AliasKind.PRODUCTION).deployment_id == first
    third = upload(api, zip_of(SITE), production="true").json["deployment_id"]
    assert Alias.get(Alias.kind == AliasKind.PRODUCTION).deployment_id == third


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (zip_of({"../evil": b"x"}), 422, "archive-unsafe-path"),
        (zip_of(SITE)[:-30], 422, "archive-damaged"),
        (b"<html>", 415, "archive-type-unknown"),
        (zip_of({"readme.txt": b"x"}), 422, "nothing-recognised"),
        (zip_of({"index.html": PAGE} | {f"{n}": b"" for n in range(30)}), 422, "too-many-files"),
    ],
)
def test_a_refused_upload_leaves_nothing_behind(
    start: Callable[..., Running], content: bytes, status: int, code: str
) -> None:
    api = start(MAX_FILES=20)
    answer = upload(api, content)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.content_type == "application/problem+json"
    assert left_behind(api) == []
    assert [table.select().count() for table in (Project, Deployment, Build)] == [0, 0, 0]


def test_an_upload_over_the_limit_is_refused(start: Callable[..., Running]) -> None:
    api = start(MAX_UPLOAD_SIZE="1K")
    answer = upload(api, zip_of({"index.html": os.urandom(2000)}))
    assert (answer.status_code, answer.json["code"]) == (413, "upload-too-large")


@pytest.mark.parametrize("ref", ["a b", "a..b", "x" * 300, "a\x00b"])
def test_a_label_that_is_no_name_of_a_branch_is_refused(api: Running, ref: str) -> None:
    assert upload(api, zip_of(SITE), ref=ref).json["code"] == "invalid-ref"
    assert left_behind(api) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a b", "invalid-project-name"),
        ("../x", "project-not-connected"),
        ("UPPER", "invalid-project-name"),
        ("owner/name", "project-not-connected"),
        ("my_site", "project-name-taken"),
    ],
)
def test_a_project_that_cannot_be_had_is_refused(api: Running, name: str, code: str) -> None:
    upload(api, zip_of(SITE), project="my-site")
    assert upload(api, zip_of(SITE), project=name).json["code"] == code
    assert left_behind(api) == []


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "served/owner/pages.git")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    monkeypatch.setenv("no_proxy", "*")
    with GitServer(tmp_path / "served") as running:
        yield running


def test_a_repository_is_fetched_by_a_worker_and_published(
    start: Callable[..., Running], server: GitServer, repository: Repository
) -> None:
    repository.commit({"index.html": PAGE, "later.css": b"x"})
    api = start(ALLOWED_GIT_HOSTS=server.url)
    body = {"github_url": f"{server.url}/owner/pages.git", "ref": "main"}
    answer = api.post("/deploy", json=body)
    assert (answer.status_code, answer.json["project"]) == (202, "pages")
    api.work()
    assert published(api, answer) == {"index.html": PAGE, "later.css": b"x"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"github_url": "file:///etc"}, "url-not-https"),
        ({"github_url": "http://169.254.169.254/latest/meta-data"}, "url-not-https"),
        ({"github_url": "https://169.254.169.254/latest"}, "url-private-address"),
        ({"github_url": "https://localhost/x"}, "url-private-address"),
        ({"github_url": "https://github.com/a/b", "ref": "--upload-pack=x"}, "invalid-ref"),
        ({"github_url": 5}, "invalid-request"),
        ({}, "invalid-request"),
        ({"github_url": "https://github.com/a/b", "else": 1}, "invalid-request"),
    ],
)
def test_an_address_that_may_not_be_fetched_is_refused_at_once(
    start: Callable[..., Running], body: dict[str, Any], code: str
) -> None:
    api = start(ALLOWED_GIT_HOSTS="*")
    answer = api.post("/deploy", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert left_behind(api) == []
    assert api.woken == []


def test_a_program_on_this_machine_needs_no_token_in_development(api: Running) -> None:
    assert upload(api, zip_of(SITE)).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Referer": "http://localhost:8000/dpl-x/"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Host": "evil.example"},
    ],
)
def test_a_browser_or_a_proxy_needs_a_token_even_here(
    api: Running, headers: dict[str, str]
) -> None:
    data = zip_of(SITE)
    answer = api.post("/deploy", data=data, content_type="application/zip", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "given",
    [
        {"ENVIRONMENT": "production", "GITHUB_WEBHOOK_SECRET": "x"},
        {"PUBLIC_URL": "https://deploy.example"},
    ],
)
def test_a_bot_in_the_open_asks_everybody_for_a_token(
    start: Callable[..., Running], given: dict[str, str]
) -> None:
    api = start(**given)
    assert upload(api, zip_of(SITE)).status_code == 401
    api.token = api.new_token(Scope.DEPLOY)
    assert upload(api, zip_of(SITE)).status_code == 201


def test_another_machine_needs_a_token(api: Running) -> None:
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    answer = api.post(
        "/deploy", data=zip_of(SITE), content_type="application/zip", environ_base=elsewhere
    )
    assert answer.status_code == 401


def test_a_wrong_token_is_refused_where_none_would_do(api: Running) -> None:
    api.token = "dst_" + "x" * 43
    assert upload(api, zip_of(SITE)).status_code == 401


def test_a_token_for_reading_deploys_nothing(api: Running) -> None:
    api.token = api.new_token(Scope.READ)
    assert upload(api, zip_of(SITE)).json["code"] == "forbidden"


def test_a_projects_token_deploys_to_that_project_alone(api: Running) -> None:
    upload(api, zip_of(SITE), project="mine")
    api.token = api.new_token(Scope.DEPLOY, Project.get(Project.name == "mine").id)
    assert upload(api, zip_of(SITE), project="mine").status_code == 201
    assert upload(api, zip_of(SITE), project="other").json["code"] == "forbidden"
    assert left_behind(api) == []
    assert Project.select().count() == 1
