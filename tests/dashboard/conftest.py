"""A dashboard with somebody to sign in to it, and a project to act on."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bot.control import Control
from bot.dashboard.application import create_dashboard
from bot.events import Bus
from bot.models import projects, tokens
from bot.models.database import Database
from bot.models.status import AliasKind
from bot.models.tables import Deployment
from bot.models.tokens import Scope
from bot.settings import Settings
from bot.storage.disk import DiskStore
from tests.serve.conftest import Deployer

ORIGIN = "http://dashboard.localhost:8001"
FIRST, SECOND = "a" * 40, "b" * 40


class Desk:
    """The dashboard as a browser of somebody's sees it."""

    def __init__(self, settings: Settings, database: Database, store: DiskStore) -> None:
        self.settings, self.database, self.store = settings, database, store
        self.woken: list[str] = []
        self.exposed: list[int] = []
        self.control = Control(
            settings, database, store, Bus(), wake=self.woken.extend, expose=self.exposed.append
        )
        self.application = create_dashboard(settings, self.control)
        self.client: FlaskClient = self.application.test_client()
        self.csrf = ""

    def get(self, path: str, **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, base_url=self.settings.DASHBOARD_URL, headers=given)

    def get_with_cookie(self, path: str, cookie: str) -> TestResponse:
        """What somebody gets who has exactly this Cookie header."""
        client = self.application.test_client(use_cookies=False)
        return client.get(path, base_url=self.settings.DASHBOARD_URL, headers={"Cookie": cookie})

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> TestResponse:
        """A form of the dashboard's own page, unless `headers` say otherwise."""
        given = {"Origin": self.settings.DASHBOARD_URL, "Sec-Fetch-Site": "same-origin"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            path,
            base_url=self.settings.DASHBOARD_URL,
            data={"csrf": self.csrf} | (form or {}),
            headers=given,
        )

    def sign_in(self, scope: Scope = Scope.ADMIN, project_id: int | None = None) -> tokens.Token:
        with self.database.write():
            token, secret = tokens.create("test", scope, project_id)
        assert self.post("/sign-in", {"token": secret}).status_code == 303
        text = self.get("/").text
        self.csrf = text.partition('name="csrf" value="')[2].partition('"')[0]
        assert len(self.csrf) == 64
        return token


@pytest.fixture
def desk(settings: Settings, database: Database, store: DiskStore) -> Desk:
    return Desk(settings, database, store)


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "artifacts")


@pytest.fixture
def deployer(database: Database, store: DiskStore) -> Deployer:
    return Deployer(store)


@pytest.fixture
def two(deployer: Deployer, database: Database) -> tuple[str, str]:
    """Two live deployments of project 1; production leads to the second."""
    first = deployer.deploy({"index.html": "first"}, sha=FIRST, environment="production")
    second = deployer.deploy({"index.html": "second"}, sha=SECOND, environment="production")
    with database.write():
        Deployment.update(created_at=Deployment.created_at - 1000).where(
            Deployment.id == first
        ).execute()
        projects.point_alias(deployer.project().id, AliasKind.PRODUCTION, "production", second)
    return first, second
