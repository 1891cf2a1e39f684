from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from tests.api.conftest import Running
from tests.api.test_deploy import SITE, upload
from tests.uploads.archives import zip_of

load_all_checks()
CHECKED = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
]


@pytest.fixture(params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, start: Callable[..., Running]) -> Running:
    """On both databases: one of them refuses what the other keeps."""
    if request.param == "sqlite":
        return start()
    server, template = (request.getfixturevalue(name) for name in ("postgres", "migrated"))
    return start(DATABASE_URL=server.fresh_database(template))


@pytest.fixture
def described(api: Running) -> Any:
    """The API's own description, and something behind each of its resources."""
    upload(api, zip_of(SITE), production="yes")
    api.post("/api/v1/projects/1/domains", json={"domain": "www.example.com"})
    api.post("/api/v1/tokens", json={"name": "x"})
    api.request("PUT", "/api/v1/projects/1/variables/A", json={"value": "b"})
    made = api.get("/api/v1/deployments").json["data"][0]["id"]
    api.request("PUT", "/api/v1/projects/1/aliases/a", json={"deployment_id": made})
    api.post("/api/v1/users", json={"login": "a"})
    api.request("PUT", "/api/v1/projects/1/members/a", json={"role": "viewer"})
    return schemathesis.openapi.from_wsgi("/openapi.json", api.client.application)


def test_every_operation_answers_as_described_and_never_fails(api: Running, described: Any) -> None:
    token = {"Authorization": f"Bearer {api.new_token()}"}
    tried = 0
    answers: Counter[int] = Counter()
    for result in described.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def run(case: Any) -> None:
            answers[case.call_and_validate(checks=CHECKED, headers=token).status_code] += 1

        run()
        tried += 1
    assert tried > 40
    assert answers[401] == 0
    assert {200, 201, 404, 422} <= answers.keys()


def test_the_description_is_openapi_3_1_and_names_every_route(api: Running) -> None:
    document = api.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    described = {path.replace("{", "<").replace("}", ">") for path in document["paths"]}
    routes = {
        rule.rule
        for rule in api.client.application.url_map.iter_rules()
        if rule.rule.startswith(("/api/", "/deploy"))
    }
    assert described == routes
