"""Who we are at GitHub: a personal token, or an App with a key of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from responses import RequestsMock

from bot.errors import SystemFault, UserError
from bot.github.client import Client, client_from
from bot.models import projects
from bot.models.database import Database
from bot.secret import Secret
from bot.settings import Settings
from tests.github.conftest import ROOT, sent

TOKENS = f"{ROOT}/app/installations/42/access_tokens"
MakeSettings = Callable[..., Settings]


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_text() -> str:
    """As GitHub hands keys out."""
    return (
        private_key()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        .decode()
    )


@pytest.fixture
def app(make_settings: MakeSettings, database: Database) -> Client:
    """An App that a webhook named the installation 42 of."""
    connect(database, installation_id=42)
    client = client_from(make_settings(GITHUB_APP_ID="7", GITHUB_APP_PRIVATE_KEY=key_text()))
    assert client is not None
    return client


def connect(database: Database, *, installation_id: int | None, private: bool = True) -> None:
    with database.write():
        projects.connect_project(
            "octo/site",
            production_branch="main",
            private=private,
            installation_id=installation_id,
        )


def bought(token: str, minutes: float = 60) -> dict[str, str]:
    """GitHub's answer to who asks for a token."""
    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    return {"token": token, "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}


def test_without_credentials_there_is_no_client(settings: Settings) -> None:
    assert client_from(settings) is None


def test_the_app_comes_before_the_token(make_settings: MakeSettings) -> None:
    both = make_settings(GITHUB_TOKEN="t", GITHUB_APP_ID="7", GITHUB_APP_PRIVATE_KEY=key_text())
    assert type(client_from(both)).__name__ == "AppClient"


def test_a_personal_token_is_what_git_gets_too(make_settings: MakeSettings) -> None:
    client = client_from(make_settings(GITHUB_TOKEN="ghp_x"))
    assert client is not None
    assert client.token_for("octo/site") == Secret("ghp_x")
    assert client.token_for("_local/demo") is None


def test_a_repository_is_asked_for_nothing_before_it_is_needed(
    make_settings: MakeSettings, github: RequestsMock
) -> None:
    client = client_from(make_settings(GITHUB_TOKEN="ghp_x"))
    assert client is not None
    assert client.repository("octo/site").url.endswith("/repos/octo/site")
    assert len(github.calls) == 0


def test_an_enterprise_server_is_asked_at_its_own_address(
    make_settings: MakeSettings, github: RequestsMock
) -> None:
    settings = make_settings(GITHUB_TOKEN="ghp_x", GITHUB_API_URL="https://ghe.test/api/v3")
    client = client_from(settings)
    assert client is not None
    github.get("https://ghe.test:443/api/v3/user", json={"login": "ship-bot"})
    assert client.login() == "ship-bot"
    assert client.login() == "ship-bot"
    assert len(github.calls) == 1


def test_an_app_signs_a_jwt_and_buys_a_token_for_one_repository_to_read(
    app: Client, github: RequestsMock
) -> None:
    github.post(TOKENS, json=bought("ghs_read"), status=201)
    assert app.token_for("octo/site") == Secret("ghs_read")
    request = github.calls[0].request
    assert json.loads(request.body or "") == {
        "repositories": ["site"],
        "permissions": {"contents": "read"},
    }
    scheme, _, signed = request.headers["Authorization"].partition(" ")
    claims = jwt.decode(signed, private_key().public_key(), algorithms=["RS256"])
    assert (scheme, claims["iss"]) == ("Bearer", "7")
    # GitHub refuses more than ten minutes, and clocks drift.
    assert claims["exp"] - claims["iat"] <= 600
    assert claims["iat"] < datetime.now(UTC).timestamp() - 30


def test_a_bought_token_is_kept_until_shortly_before_it_expires(
    app: Client, github: RequestsMock
) -> None:
    github.post(TOKENS, json=bought("ghs_old", minutes=9), status=201)
    github.post(TOKENS, json=bought("ghs_new"), status=201)
    assert app.token_for("octo/site") == Secret("ghs_old")
    assert app.token_for("octo/site") == Secret("ghs_new")
    assert app.token_for("octo/site") == Secret("ghs_new")
    assert len(github.calls) == 2


def test_many_builds_at_once_buy_one_token(app: Client, github: RequestsMock) -> None:
    github.post(TOKENS, json=bought("ghs_read"), status=201)
    found: list[Secret | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(app.token_for("octo/site"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [Secret("ghs_read")] * 8
    assert len(github.calls) == 1


def test_requests_for_a_project_carry_its_installations_token(
    app: Client, github: RequestsMock
) -> None:
    github.post(TOKENS, json=bought("ghs_write"), status=201)
    github.get(f"{ROOT}/repos/octo/site", json={"id": 1, "description": "hello"})
    repository = app.repository("octo/site")
    assert len(github.calls) == 0
    assert repository.description == "hello"
    assert github.calls[1].request.headers["Authorization"] == "token ghs_write"
    assert app.repository("octo/site").url == repository.url
    assert len(github.calls) == 2


def test_an_installations_token_is_renewed_before_it_expires(
    app: Client, github: RequestsMock
) -> None:
    github.post(TOKENS, json=bought("ghs_old", minutes=0.2), status=201)
    github.post(TOKENS, json=bought("ghs_new"), status=201)
    for name in ("first", "second"):
        github.get(f"{ROOT}/repos/octo/{name}", json={"id": 1, "description": name})
    with_same_installation = app.repository("octo/site").requester
    for name in ("first", "second"):
        with_same_installation.requestJsonAndCheck("GET", f"/repos/octo/{name}")
    used = [
        call.request.headers["Authorization"]
        for call in github.calls
        if call.request.method == "GET"
    ]
    assert used == ["token ghs_old", "token ghs_new"]


def test_an_installation_that_no_webhook_named_is_looked_up_once(
    make_settings: MakeSettings, database: Database, github: RequestsMock
) -> None:
    connect(database, installation_id=None)
    client = client_from(make_settings(GITHUB_APP_ID="7", GITHUB_APP_PRIVATE_KEY=key_text()))
    assert client is not None
    github.get(f"{ROOT}/repos/octo/site/installation", json={"id": 42})
    github.post(TOKENS, json=bought("ghs_read"), status=201)
    assert client.token_for("octo/site") == Secret("ghs_read")
    client.repository("octo/site")
    assert sent(github) == [
        ("GET", "/installation"),
        ("POST", "/app/installations/42/access_tokens"),
    ]


def test_an_app_writes_as_its_bot(app: Client, github: RequestsMock) -> None:
    github.get(f"{ROOT}/app", json={"id": 7, "slug": "our-previews"})
    assert app.login() == "our-previews[bot]"
    assert app.login() == "our-previews[bot]"
    assert len(github.calls) == 1


def test_limits_are_counted_for_each_owner_of_an_app_and_once_for_a_token(
    app: Client, make_settings: MakeSettings
) -> None:
    token = client_from(make_settings(GITHUB_TOKEN="ghp_x"))
    assert token is not None
    assert (app.account("octo/site"), token.account("octo/site")) == ("octo/", "")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "github-app-unknown"),
        (403, "github-app-not-installed"),
        (404, "github-app-not-installed"),
        (422, "github-app-not-installed"),
    ],
)
def test_a_private_repository_out_of_reach_is_the_users_to_mend(
    app: Client, github: RequestsMock, status: int, code: str
) -> None:
    github.post(TOKENS, json={"message": "No"}, status=status)
    with pytest.raises(UserError) as caught:
        app.token_for("octo/site")
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize("answer", [500, 429, requests.ConnectionError("no route")], ids=str)
def test_when_github_cannot_be_asked_the_build_is_worth_a_retry(
    app: Client, github: RequestsMock, answer: int | Exception
) -> None:
    if isinstance(answer, int):
        github.post(TOKENS, json={"message": "No"}, status=answer)
    else:
        github.post(TOKENS, body=answer)
    with pytest.raises(SystemFault) as caught:
        app.token_for("octo/site")
    assert caught.value.code == "github-unreachable"


def test_a_public_repository_needs_no_token(
    app: Client, database: Database, github: RequestsMock
) -> None:
    connect(database, installation_id=42, private=False)
    github.post(TOKENS, json={"message": "Not Found"}, status=404)
    assert app.token_for("octo/site") is None


def test_a_repository_of_this_machine_needs_no_token(app: Client) -> None:
    assert app.token_for("_local/demo") is None


def test_pygithub_is_not_loaded_before_it_is_used(tmp_path: Path) -> None:
    """The web process asks for a client and a reporter, and must stay small."""
    program = (
        "import sys, bot.github.client as c, bot.github.report, bot.github.sender, bot.settings\n"
        "settings = bot.settings.load({'GITHUB_TOKEN': 'x', 'DATA_DIR': sys.argv[1]}, None)\n"
        "assert c.client_from(settings) is not None\n"
        "heavy = {'github', 'requests', 'jwt', 'cryptography', 'nacl'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
