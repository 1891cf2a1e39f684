"""Uploads pass the leak gate as commits do."""

from __future__ import annotations

from bot.models.tables import Build, Variable
from tests.api.conftest import Running
from tests.api.test_direct_upload import deploy

SECRET = "s3cret-of-the-docs"


def test_an_upload_with_a_secret_in_it_goes_nowhere(api: Running) -> None:
    deploy(api, {"index.html": b"fine"}, project="docs")
    project = api.get("/api/v1/projects?name=docs").json["data"][0]["id"]
    path = f"/api/v1/projects/{project}/variables"
    assert api.request("PUT", f"{path}/KEY", json={"value": SECRET}).json["data"]["secret"]
    assert not api.request("PUT", f"{path}/VITE_X", json={"value": SECRET}).json["data"]["secret"]
    assert Variable.select().count() == 2
    bad = {"index.html": b"fine", "js/app.js": f"a\nb\n'{SECRET}'".encode()}
    answer, _ = deploy(api, bad, project="docs")
    assert (answer.status_code, answer.json["code"]) == (422, "secret-leaked")
    assert "KEY would be published: it is in js/app.js, line 3." in answer.json["title"]
    assert SECRET not in answer.text
    assert [build.status for build in Build.select()] == ["ready"]  # the first one's


def test_a_variable_that_is_plain_may_be_uploaded(api: Running) -> None:
    deploy(api, {"index.html": b"fine"}, project="docs")
    project = api.get("/api/v1/projects?name=docs").json["data"][0]["id"]
    path = f"/api/v1/projects/{project}/variables/KEY"
    stored = api.request("PUT", path, json={"value": SECRET, "secret": False})
    assert not stored.json["data"]["secret"]
    answer, _ = deploy(api, {"index.html": SECRET.encode()}, project="docs")
    assert answer.status_code == 201


def test_a_value_with_a_nul_is_not_taken(api: Running) -> None:
    deploy(api, {"index.html": b"fine"}, project="docs")
    project = api.get("/api/v1/projects?name=docs").json["data"][0]["id"]
    path = f"/api/v1/projects/{project}/variables/KEY"
    assert api.request("PUT", path, json={"value": "a\0b"}).status_code == 422
    assert api.request("PUT", path, json={"value": "a\nb\n"}).status_code == 200
