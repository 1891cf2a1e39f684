from __future__ import annotations

import hashlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.api.limits import RateLimits, network_of
from bot.errors import InvalidSetting
from bot.settings import Settings
from tests.api.conftest import Running
from tests.api.test_deploy import SITE
from tests.programs import require_program
from tests.uploads.archives import zip_of

ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis server of this test's own."""
    program = require_program("redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Ready to accept connections" in line:
            break
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.communicate(timeout=10)


@pytest.fixture(params=["memory", "redis"])
def cache_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return ""
    return str(request.getfixturevalue("redis_url"))


def test_a_bucket_runs_empty_for_one_caller_and_kind_alone(
    make_settings: Callable[..., Settings], cache_url: str
) -> None:
    limits = RateLimits(make_settings(RATE_LIMIT=2, DEPLOY_RATE_LIMIT=1, CACHE_URL=cache_url))
    states = [limits.take("default", "one") for _ in range(3)]
    assert [state.limited for state in states if state] == [False, False, True]
    assert [state.remaining for state in states if state] == [1, 0, 0]
    assert states[2] is not None
    assert 1 <= states[2].retry_after <= 30
    for other in (limits.take("default", "two"), limits.take("deploy", "one")):
        assert other is not None
        assert not other.limited


def test_processes_count_together_in_redis(
    make_settings: Callable[..., Settings], redis_url: str
) -> None:
    settings = make_settings(RATE_LIMIT=1, CACHE_URL=redis_url)
    first, second = (RateLimits(settings).take("default", "x") for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.limited, second.limited) == (False, True)


def test_a_redis_that_does_not_answer_stops_nobody(start: Callable[..., Running]) -> None:
    api = start(RATE_LIMIT=1, CACHE_URL="redis://127.0.0.1:9/0")
    api.token = api.new_token()
    for _ in range(3):
        assert api.get("/api/v1/projects").status_code == 200


def test_any_other_cache_is_refused(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(InvalidSetting, match="CACHE_URL"):
        RateLimits(make_settings(CACHE_URL="memcached://x"))


def test_whoever_asks_too_often_is_told_when_to_come_back(start: Callable[..., Running]) -> None:
    api = start(RATE_LIMIT=2)
    api.token = api.new_token()
    first = api.get("/api/v1/projects")
    policies = first.headers["RateLimit-Policy"].split(", ")
    assert policies == ['"default";q=2;w=60', '"address";q=60000;w=60']
    assert first.headers["RateLimit"].split(", ")[0] == '"default";r=1;t=30'
    api.get("/api/v1/projects")
    third = api.get("/api/v1/projects")
    assert (third.status_code, third.json["code"]) == (429, "rate-limited")
    assert third.content_type == "application/problem+json"
    assert 1 <= int(third.headers["Retry-After"]) <= 30
    api.token = api.new_token()
    assert api.get("/api/v1/projects").status_code == 200


def test_deployments_have_a_limit_of_their_own(start: Callable[..., Running]) -> None:
    api = start(DEPLOY_RATE_LIMIT=1)
    api.token = api.new_token()
    answers = [
        api.post("/deploy", data=zip_of(SITE), content_type="application/zip") for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 429]
    assert api.get("/api/v1/projects").status_code == 200


def test_the_files_of_a_large_site_have_a_limit_of_their_own(start: Callable[..., Running]) -> None:
    api = start(RATE_LIMIT=1, CONTENTS_RATE_LIMIT=3)
    api.token = api.new_token()
    path = f"/api/v1/contents/{hashlib.sha256(b'x').hexdigest()}"
    codes = [api.request("PUT", path, data=b"x").status_code for _ in range(4)]
    assert codes == [204, 204, 204, 429]
    assert api.get("/api/v1/projects").status_code == 200


def test_many_tokens_of_one_address_share_its_limit(start: Callable[..., Running]) -> None:
    api = start(ADDRESS_RATE_LIMIT=2)
    codes = []
    for _ in range(3):
        api.token = api.new_token()
        codes.append(api.get("/api/v1/projects").status_code)
    assert codes == [200, 200, 429]
    assert api.get("/api/v1/projects", environ_base=ELSEWHERE).status_code == 200


def test_guessing_tokens_is_limited_by_address(start: Callable[..., Running]) -> None:
    api = start(RATE_LIMIT=3)
    codes = []
    for number in range(5):
        api.token = f"dst_{number}"
        codes.append(api.get("/api/v1/projects", environ_base=ELSEWHERE).status_code)
    assert codes == [401, 401, 401, 429, 429]
    api.token = api.new_token()
    assert api.get("/api/v1/projects", environ_base=ELSEWHERE).status_code == 200


def test_behind_a_trusted_proxy_the_clients_address_counts(start: Callable[..., Running]) -> None:
    api = start(RATE_LIMIT=1, TRUSTED_PROXIES=1)
    for address, status in (("203.0.113.1", 401), ("203.0.113.1", 429), ("203.0.113.2", 401)):
        forwarded = {"X-Forwarded-For": f"127.0.0.1, {address}"}
        assert api.get("/api/v1/projects", headers=forwarded).status_code == status


def test_a_forged_proxy_header_makes_nobody_local(start: Callable[..., Running]) -> None:
    api = start(TRUSTED_PROXIES=1)
    headers = {"X-Forwarded-For": "127.0.0.1"}
    answer = api.get("/api/v1/projects", headers=headers, environ_base=ELSEWHERE)
    assert answer.status_code == 401


def test_programs_on_this_machine_are_not_counted(start: Callable[..., Running]) -> None:
    api = start(RATE_LIMIT=1)
    for _ in range(3):
        assert api.get("/api/v1/projects").status_code == 200


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        (None, "unknown"),
        ("a unix socket", "unknown"),
    ],
)
def test_an_address_stands_for_its_network(address: str | None, network: str) -> None:
    assert network_of(address) == network
