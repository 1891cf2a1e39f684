"""Puts the parts together; the only place where parts are chosen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask

from bot.announcements import announce_changes
from bot.control import Control
from bot.dashboard import pages
from bot.dashboard.origin import on_own_port
from bot.data_folder import prepare
from bot.errors import InvalidSetting
from bot.events import Bus
from bot.github.client import Client, client_from
from bot.github.report import Reporter
from bot.models import measures
from bot.models.database import Database, connect
from bot.observe import metrics
from bot.observe.ready import readiness
from bot.observe.requests import identified
from bot.serve.application import Previews
from bot.settings import Settings
from bot.storage.store import NotPublished, Store
from bot.storage.urls import open_store
from bot.tasks import Tasks
from bot.webhooks.dispatcher import Dispatcher
from bot.webhooks.routes import webhook_application

if TYPE_CHECKING:
    from bot.github.breaker import Breaker
    from bot.reconcile import Reconciler
    from bot.retention import Retention
    from bot.webhooks.intake import Intake
    from bot.worker import Outbox, Worker
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Any]


@dataclass(frozen=True)
class Parts:
    """What every process of the bot has."""

    settings: Settings
    database: Database
    store: Store
    bus: Bus
    client: Client | None


def assemble(settings: Settings) -> Parts:
    """Open the database and the store, and have GitHub told of whatever happens."""
    prepare(settings.DATA_DIR)
    bus = Bus()
    client = client_from(settings)
    Reporter(settings, enabled=client is not None).subscribe(bus)
    database = connect(settings.DATABASE_URL, settings.DATABASE_CONNECTIONS)
    announce_changes(settings, database)
    return Parts(
        settings,
        database,
        open_store(settings),
        bus,
        client,
    )


def create_app(settings: Settings) -> WsgiApplication:
    """The web process's application: previews first, then webhooks, then all else."""
    parts = assemble(settings)
    tasks = Tasks(settings)

    def tell() -> None:
        if parts.client is not None:
            tasks.deliver()

    def enqueue(build_ids: Sequence[str]) -> None:
        tasks.woken(build_ids)
        tell()

    dispatcher = Dispatcher(enqueue)
    webhooks = webhook_application(settings, parts.database, parts.bus, dispatcher.wake)
    site = create_site(parts)
    control = Control(
        settings,
        parts.database,
        parts.store,
        parts.bus,
        wake=dispatcher.wake,
        expose=tasks.expose,
        tell=tell,
    )
    api = LateApplication(lambda: create_rest_api(parts, control))

    visitors = LateApplication(lambda: _visitors(settings))
    counts = metrics.enable(settings)
    if counts:
        metrics.count_lookups()
    watched: dict[str, WsgiApplication] = {"/readyz": readiness(_checks(parts, tasks))}
    if counts:
        watched["/metrics"] = LateApplication(lambda: _metrics(settings))

    def route(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ.get("PATH_INFO", "")
        if path == "/webhooks/github":
            kind, chosen = "webhook", webhooks
        elif path.startswith("/_deploystack/github/"):
            kind, chosen = "page", visitors
        elif path in watched:
            kind, chosen = "health", watched[path]
        elif _is_api(path) and not _follows_a_commit(environ):
            kind, chosen = "api", api
        else:
            kind, chosen = "page", site
        environ["deploystack.kind"] = kind
        return chosen(environ, start_response)

    previews = Previews(parts.store, settings, parts.bus, identified(route))
    others = metrics.timed(previews) if counts else previews
    dashboard = LateApplication(lambda: _dashboard(parts, control))
    return on_own_port(settings, dashboard, others)


def _visitors(settings: Settings) -> WsgiApplication:
    from bot.github.visitors import visitors_application

    return visitors_application(settings)


def _dashboard(parts: Parts, control: Control) -> WsgiApplication:
    from bot.dashboard.application import create_dashboard

    return create_dashboard(parts.settings, control)


def _checks(parts: Parts, tasks: Tasks) -> dict[str, Callable[[], object]]:
    """What a web process cannot do without."""
    return {
        "database": measures.answers,
        "queue": tasks.builds.pending_count,
        "store": lambda: _answers(parts.store),
    }


def _answers(store: Store) -> None:
    """Ask for what is not there: raises what the store raises where it cannot be read."""
    with contextlib.suppress(NotPublished):
        store.manifest("readiness")


def _metrics(settings: Settings) -> WsgiApplication:
    from bot.observe.scrape import exposition

    return exposition(settings)


class LateApplication:
    """A WSGI application that is put together when somebody asks for it.

    Those who only push pay neither the memory nor the time of what the API needs.
    """

    def __init__(self, create: Callable[[], WsgiApplication]) -> None:
        self._create = create
        self._created: WsgiApplication | None = None
        self._creating = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        with self._creating:
            if self._created is None:
                self._created = self._create()
        return self._created(environ, start_response)


def _is_api(path: str) -> bool:
    """What `bot.api.application` answers; asking it would load it."""
    return path in {"/deploy", "/openapi.json"} or path.startswith(("/api/", "/docs", "/redoc"))


def _follows_a_commit(environ: dict[str, Any]) -> bool:
    """`GET /api/v1/builds?sha=…` without a token: open to all, as commit statuses are."""
    return (
        environ.get("PATH_INFO") == "/api/v1/builds"
        and "sha=" in environ.get("QUERY_STRING", "")
        and "HTTP_AUTHORIZATION" not in environ
    )


def create_rest_api(parts: Parts, control: Control) -> WsgiApplication:
    """The REST API. An upload that needs no build is published by the web process, at once."""
    from bot.api.application import create_api
    from bot.api.services import Services

    worker = _worker(parts, outbox=None)
    services = Services(
        control, build_now=worker.build, code_host=lambda: client_from(parts.settings)
    )
    return create_api(services)


def create_site(parts: Parts) -> Flask:
    """What people and scripts look at, by Flask."""
    from bot.api import builds

    site = Flask("bot", static_folder=None, template_folder="dashboard/templates")
    site.json.sort_keys = False  # type: ignore[attr-defined]
    site.register_blueprint(pages.blueprint(parts.settings))
    site.register_blueprint(builds.blueprint(parts.settings))
    return site


def create_worker(settings: Settings) -> tuple[Worker, Tasks, Reconciler | None, Retention]:
    """The worker process's parts. Imports what the web process never needs."""
    from bot.dead_letters import retry_deliveries
    from bot.github.approval import Approver
    from bot.github.sender import Sender

    parts = assemble(settings)
    if metrics.enable(settings):
        metrics.Builds(parts.bus)
        metrics.count_lookups()
    if settings.OTLP_ENDPOINT:
        _trace(parts)
    approver = Approver(parts.database, parts.bus)
    outbox = None
    if parts.client is not None:
        outbox = Sender(
            parts.database, parts.client, settings, approver=approver, breaker=_breaker(settings)
        )
    worker = _worker(parts, outbox)
    tasks = Tasks(settings, worker)
    worker.requeue = approver.requeue = tasks.build
    worker.wake_ups = tasks.wake_ups
    if outbox is not None:
        worker.wake_outbox = tasks.deliver
    intake = _intake(parts, tasks)
    worker.replay_failed = lambda: retry_deliveries(intake)
    return worker, tasks, _reconciler(parts, intake), _retention(parts)


def _retention(parts: Parts) -> Retention:
    from bot.retention import Retention
    from bot.uploads.sources import Sources

    sources = Sources(parts.settings, parts.store)
    return Retention(parts.settings, parts.database, parts.store, sources.forget)


def _breaker(settings: Settings) -> Breaker:
    from bot.github.breaker import Breaker

    if not settings.METRICS_TOKEN:
        return Breaker(settings.CACHE_URL)
    return Breaker(settings.CACHE_URL, tripped=metrics.count_trips())


def _trace(parts: Parts) -> None:
    try:
        from bot.observe.traces import Traces, otlp
    except ModuleNotFoundError:
        raise InvalidSetting(
            "OTLP_ENDPOINT",
            "needs libraries that are not installed",
            "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
        ) from None
    Traces(parts.bus, otlp(parts.settings))


def _intake(parts: Parts, tasks: Tasks) -> Intake:
    """What takes deliveries in that did not come by the webhook."""
    from bot.models.group_commit import GroupCommit
    from bot.webhooks.intake import Intake

    def wake(build_ids: Sequence[str]) -> None:
        tasks.woken(build_ids)
        if parts.client is not None:
            tasks.deliver()

    return Intake(parts.settings, GroupCommit(parts.database), parts.bus, wake)


def _reconciler(parts: Parts, intake: Intake) -> Reconciler | None:
    """What takes up missed pushes; `None`: GitHub cannot be asked, or need not be."""
    from bot.reconcile import Reconciler

    # Of its own, since it asks much, in a thread of its own.
    client = client_from(parts.settings)
    if client is None or not parts.settings.RECONCILE_EVERY:
        return None
    return Reconciler(parts.settings, client, intake.take)


def _worker(parts: Parts, outbox: Outbox | None) -> Worker:
    from bot.builders.pipeline import create_pipeline
    from bot.uploads.pipeline import UploadPipeline
    from bot.uploads.sources import Sources
    from bot.visits import Visits
    from bot.worker import Worker

    settings, store = parts.settings, parts.store
    token_for = parts.client.token_for if parts.client is not None else lambda _project: None
    commits = create_pipeline(settings, store, token_for)
    pipeline = UploadPipeline(commits, Sources(settings, store), store, settings)
    worker = Worker(settings, parts.database, store, parts.bus, pipeline, outbox)
    worker.visits = Visits(settings, parts.database, parts.bus, token_for)
    return worker
