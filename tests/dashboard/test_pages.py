"""The pages that people look at, and the first of the API, by Flask's test client."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from bot.app import Parts, create_site
from bot.events import Bus
from bot.models import builds, deployments, projects
from bot.models.database import Database
from bot.models.status import BuildStatus
from bot.settings import Settings
from bot.storage.disk import DiskStore

SHA = "b" * 40


@pytest.fixture
def client(settings: Settings, database: Database) -> FlaskClient:
    store = DiskStore(settings.DATA_DIR / "artifacts")
    return create_site(Parts(settings, database, store, Bus(), None)).test_client()


@pytest.fixture
def build_id(settings: Settings, database: Database) -> str:
    """A failed build of `octo/<b>site</b>` with a log of two lines."""
    with database.write():
        project_id = projects.connect_project(
            "octo/<b>site</b>", production_branch="main", private=False, installation_id=None
        )
        asked = deployments.request_build(project_id, SHA, "topic", "push", "preview")
        builds.claim(asked.build_id, "worker", "logs/one.log")
        builds.describe(asked.build_id, "Vite")
        builds.fail(
            asked.build_id, "worker", BuildStatus.FAILED, "build-failed", "It ended with 1.",
            {"fetch": 0.25},
        )  # fmt: skip
    log = settings.DATA_DIR / "logs" / "one.log"
    log.parent.mkdir(parents=True)
    log.write_text("first line\n<script>alert(1)</script>\n")
    return asked.build_id


def test_home_says_what_to_do_while_there_is_nothing(client: FlaskClient) -> None:
    text = client.get("/").text
    assert "make demo" in text
    assert "http://localhost:8000/webhooks/github" in text


@pytest.mark.parametrize("path", ["/nowhere", "/builds/bld-none", "/<script>"])
def test_what_is_not_there_is_said_on_a_page_of_ours(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.text
    assert 'href="/_deploystack/pages.css"' in answer.text
    assert "<script" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    refused = client.post("/")
    assert (refused.status_code, "GET" in refused.headers["Allow"]) == (405, True)
    assert len(refused.headers.get_all("Content-Type")) == 1


def test_home_lists_builds(client: FlaskClient, build_id: str) -> None:
    text = client.get("/").text
    assert f'href="/builds/{build_id}"' in text
    assert "octo/&lt;b&gt;site&lt;/b&gt;" in text


def test_a_build_page_shows_everything_and_runs_nothing_of_the_log(
    client: FlaskClient, build_id: str
) -> None:
    text = client.get(f"/builds/{build_id}").text
    for part in ("failed", "Vite", "It ended with 1.", "build-failed", "first line", "0.25 s", SHA):
        assert part in text
    assert "&lt;script&gt;alert" in text
    assert "<script>alert" not in text


def test_a_log_is_plain_text_and_can_be_followed(client: FlaskClient, build_id: str) -> None:
    whole = client.get(f"/builds/{build_id}/log")
    assert whole.mimetype == "text/plain"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["X-Build-Status"] == "failed"
    assert whole.headers["X-Build-Active"] == "no"
    for beyond in (10_000, 10**30, -5):
        assert client.get(f"/builds/{build_id}/log?from={beyond}").status_code == 200
    rest = client.get(f"/builds/{build_id}/log?from=11")
    assert whole.text == f"first line\n{rest.text}"


@pytest.mark.parametrize("path", ["/builds/none", "/builds/none/log", "/nowhere"])
def test_what_is_not_there_is_a_404(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_pages_allow_no_foreign_code_no_frames_and_set_no_cookie(
    client: FlaskClient, build_id: str
) -> None:
    for path in ("/", f"/builds/{build_id}"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Set-Cookie" not in headers


def test_the_api_lists_a_commits_builds(client: FlaskClient, build_id: str) -> None:
    (build,) = client.get(f"/api/v1/builds?sha={SHA}").json["data"]  # type: ignore[index]
    assert (build["id"], build["sha"], build["status"]) == (build_id, SHA, "failed")
    assert build["url"] == f"http://localhost:8000/{SHA}/"
    assert build["log_url"] == f"http://localhost:8000/builds/{build_id}/log"
    assert (build["framework"], build["stages"]) == ("Vite", {"fetch": 0.25})


def test_the_api_explains_a_bad_sha(client: FlaskClient) -> None:
    answer = client.get("/api/v1/builds?sha=main")
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.json["code"] == "invalid-sha"  # type: ignore[index]


def test_a_preview_without_an_icon_causes_no_error(client: FlaskClient) -> None:
    assert client.get("/favicon.ico").status_code == 204


def test_alive(client: FlaskClient) -> None:
    assert client.get("/healthz").text == "ok\n"
