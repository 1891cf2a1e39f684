"""The API with real parts behind it: database, store, pipeline, worker."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bot.api.application import create_api
from bot.api.services import Services
from bot.builders.pipeline import create_pipeline
from bot.control import Control
from bot.events import Bus
from bot.github.report import Reporter
from bot.models import tokens
from bot.models.database import Database
from bot.models.tokens import Scope
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.uploads.intake import Uploads
from bot.uploads.pipeline import UploadPipeline
from bot.uploads.sources import Sources
from bot.worker import Worker
from tests.api.web import Web
from tests.programs import require_program

# One that may be on this machine: then a bot of `localhost` can be reached by it.
_GITHUB = "http://github.test/api/v3"


@dataclass
class Running:
    """An API and its worker. `woken` are the builds that workers were told of.

    `told` is how often the code host was to be told at once; `code_host` is a client of it.
    """

    settings: Settings
    database: Database
    store: DiskStore
    worker: Worker
    client: FlaskClient
    woken: list[str] = field(default_factory=list)
    told: list[None] = field(default_factory=list)
    token: str = ""
    code_host: Any = None

    def request(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.request("POST", path, **options)

    def work(self) -> None:
        """What a worker would do now; the projects of these tests are built by npm."""
        require_program("npm")
        while self.woken:
            self.worker.build(self.woken.pop(0))

    def new_token(self, scope: Scope = Scope.ADMIN, project_id: int | None = None) -> str:
        with self.database.write():
            _, secret = tokens.create(f"a {scope} token", scope, project_id)
        return secret


@pytest.fixture
def work_folder() -> Iterator[str]:
    """One that the builds' own account may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield folder


@pytest.fixture
def start(
    make_settings: Callable[..., Settings], work_folder: str
) -> Iterator[Callable[..., Running]]:
    from bot.models.database import connect

    opened: list[Database] = []
    started: list[Uploads] = []

    def start(**given: Any) -> Running:
        chosen = {"SANDBOX": "process", "WORK_DIR": work_folder, "GITHUB_API_URL": _GITHUB}
        settings = make_settings(**(chosen | given))
        database = connect(settings.DATABASE_URL)
        opened.append(database)
        store = DiskStore(settings.DATA_DIR / "artifacts")
        bus = Bus()
        builder = create_pipeline(settings, store, lambda _project: None)
        pipeline = UploadPipeline(builder, Sources(settings, store), store, settings)
        worker = Worker(settings, database, store, bus, pipeline, None)
        woken: list[str] = []
        told: list[None] = []
        control = Control(
            settings,
            database,
            store,
            bus,
            wake=woken.extend,
            expose=lambda _project_id: None,
            tell=lambda: told.append(None),
        )
        services = Services(control, worker.build, lambda: running.code_host)
        Reporter(settings, enabled=True).subscribe(bus)
        application = create_api(services)
        started.append(application.extensions["uploads"])
        client = application.test_client()
        running = Running(settings, database, store, worker, client, woken, told)
        return running

    yield start
    for uploads in started:
        uploads.settle()
    for database in opened:
        database.close()


@pytest.fixture
def api(start: Callable[..., Running]) -> Running:
    return start()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    started = Web(tmp_path_factory.mktemp("web"))
    yield started
    started.stop()
