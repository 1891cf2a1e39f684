"""One trace for each push, sent to an OpenTelemetry collector when its build has ended.

The spans are made from the times that the build's record holds: a push that went
through three processes needs no context handed from one to the next, and a worker
that was killed in the middle loses no trace.

https://opentelemetry.io/docs/specs/otel/trace/api/
"""

from __future__ import annotations

import hashlib
import json
import threading

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from bot import __version__
from bot.events import BuildCompleted, BuildFailed, Bus
from bot.models.status import BuildStatus
from bot.models.tables import Build
from bot.settings import Settings

_MS = 1_000_000  # ns


class _Ids(IdGenerator):
    """A trace has its build's id, so that a log line leads to it."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.build = ""

    def generate_trace_id(self) -> int:
        return trace_id(self.build)

    def generate_span_id(self) -> int:
        return self._random.generate_span_id()


def trace_id(build_id: str) -> int:
    """The id of a build's trace."""
    return int.from_bytes(hashlib.sha256(build_id.encode()).digest()[:16], "big")


def otlp(settings: Settings) -> SpanExporter:
    """Sends spans to OTLP_ENDPOINT."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{settings.OTLP_ENDPOINT}/v1/traces")


class Traces:
    """Makes a build's trace when it has ended."""

    def __init__(self, bus: Bus, exporter: SpanExporter) -> None:
        self._ids = _Ids()
        # Builds end in several threads; each root span takes its id from `_ids`.
        self._starting = threading.Lock()
        resource = Resource.create({"service.name": "deploystack", "service.version": __version__})
        provider = TracerProvider(id_generator=self._ids, resource=resource)
        self._processor = BatchSpanProcessor(exporter)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("deploystack")
        bus.subscribe(BuildCompleted, self._ended)
        bus.subscribe(BuildFailed, self._ended)

    def flush(self) -> None:
        """Send what waits. It is sent by itself every few seconds."""
        self._processor.force_flush()

    def _ended(self, event: BuildCompleted | BuildFailed) -> None:
        build: Build = Build.get_by_id(event.build_id)
        if build.completed_at is None:
            return
        deployment = build.deployment
        with self._starting:
            self._ids.build = build.id
            push = self._tracer.start_span(
                "push",
                kind=SpanKind.CONSUMER,
                start_time=build.created_at * _MS,
                attributes={
                    "deploystack.build": build.id,
                    "deploystack.deployment": deployment.id,
                    "deploystack.status": str(build.status),
                    "deploystack.framework": build.framework,
                    "vcs.ref.head.revision": deployment.sha or "",
                },
            )
        if build.status != BuildStatus.READY:
            push.set_status(Status(StatusCode.ERROR, build.error_code))
        begun = build.created_at * _MS
        for stage, seconds in json.loads(build.stages).items():
            context = set_span_in_context(push)
            span = self._tracer.start_span(stage, context=context, start_time=begun)
            begun += int(seconds * 1e9)
            span.end(end_time=begun)
        push.end(end_time=build.completed_at * _MS)
