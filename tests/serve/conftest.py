"""A preview host for tests: real HTTP in front of a temporary store and database."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.validate import validator

import pytest

from bot.events import Bus
from bot.models.database import Database
from bot.models.ids import new_id, now
from bot.models.status import BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment, Project
from bot.serve.application import Previews
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest, media_type
from bot.storage.store import Store

SHA = "1234567890abcdef1234567890abcdef12345678"


@dataclass
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str | None:
        return self.headers["Location"]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition to become true, some seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Host:
    """A running server, asked in raw HTTP: paths go out exactly as given."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(
                method, path, skip_host="Host" in headers, skip_accept_encoding=True
            )
            for name, value in headers.items():
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """GET; header names have `_` for `-`."""
        return self.ask("GET", path, {n.replace("_", "-"): v for n, v in headers.items()})

    def head(self, path: str, **headers: str) -> Answer:
        return self.ask("HEAD", path, {n.replace("_", "-"): v for n, v in headers.items()})

    def visit(self, path: str, **headers: str) -> Answer:
        """GET as a browser does that goes to a page."""
        return self.get(path, Accept="text/html,*/*;q=0.8", Sec_Fetch_Mode="navigate", **headers)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def serve(application: Any) -> tuple[Host, Callable[[], None]]:
    """The application on a free port, checked for PEP 3333; and how to stop it."""
    server = make_server("127.0.0.1", 0, validator(application), _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return Host(server.server_port), stop


def fallback(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Stands for the rest of the bot: answers one path, and says so."""
    known = environ["PATH_INFO"] in {"/", "/healthz"}
    status = "200 OK" if known else "404 Not Found"
    start_response(status, [("Content-Type", "text/plain")])
    return [b"the bot's own"]


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "artifacts")


class Deployer:
    """Publishes deployments straight into store and database."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def project(self, name: str = "octo/site") -> Project:
        found: Project | None = Project.get_or_none(Project.name == name)
        return found or Project.create(name=name, created_at=now(), updated_at=now())

    def row(
        self,
        sha: str | None = SHA,
        project: str = "octo/site",
        status: DeploymentStatus = DeploymentStatus.READY,
        environment: str = "preview",
    ) -> str:
        """A deployment in the database alone; its id."""
        deployment_id = new_id("dpl")
        Deployment.insert(
            id=deployment_id,
            project=self.project(project),
            sha=sha,
            ref="main",
            source="push",
            environment=environment,
            status=status,
            created_at=now(),
            updated_at=now(),
        ).execute()
        return deployment_id

    def build(self, deployment_id: str, status: BuildStatus, message: str = "") -> str:
        build_id = new_id("bld")
        Build.insert(
            id=build_id,
            deployment=deployment_id,
            status=status,
            error_message=message,
            created_at=now(),
        ).execute()
        return build_id

    def publish(
        self, deployment_id: str, files: Mapping[str, str | bytes], **manifest: Any
    ) -> Manifest:
        entries = {}
        for path, content in files.items():
            raw = content if isinstance(content, bytes) else content.encode()
            digest, size = self.store.put_bytes([raw])
            entries[path] = Entry(digest, size, media_type(path))
        given: dict[str, Any] = {"created_at": 1_700_000_000_000, "base": f"/{SHA}/"}
        made = Manifest(deployment=deployment_id, files=entries, **(given | manifest))
        self.store.publish(made)
        return made

    def deploy(
        self,
        files: Mapping[str, str | bytes],
        *,
        sha: str | None = SHA,
        project: str = "octo/site",
        environment: str = "preview",
        **manifest: Any,
    ) -> str:
        """A live deployment; its id."""
        deployment_id = self.row(sha, project, environment=environment)
        self.publish(deployment_id, files, **({"base": f"/{sha or deployment_id}/"} | manifest))
        return deployment_id


@pytest.fixture
def deployer(database: Database, store: DiskStore) -> Deployer:
    return Deployer(store)


@pytest.fixture
def make_host(
    database: Database, store: DiskStore, make_settings: Callable[..., Settings]
) -> Iterator[Callable[..., Host]]:
    """Starts hosts; keyword arguments are settings."""
    stops = []

    def make(**given: Any) -> Host:
        application = Previews(store, make_settings(**given), Bus(), fallback)
        host, stop = serve(application)
        stops.append(stop)
        return host

    yield make
    for stop in stops:
        stop()


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    return make_host()
