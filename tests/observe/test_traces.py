"""Traces: one for a push, whose spans are the stages of its build."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bot.events import BuildCompleted, Bus
from bot.models.database import Database
from bot.models.deployments import request_build
from bot.models.projects import connect_project
from bot.models.tables import Build
from bot.observe.traces import Traces, trace_id


def test_builds_that_end_together_have_a_trace_each(
    database: Database, request: pytest.FixtureRequest
) -> None:
    # Threads take turns as often as they can.
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)
    with database.write():
        project = connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        asked = [
            request_build(project, f"{number:040x}", "main", "push", "preview")
            for number in range(400)
        ]
        Build.update(status="ready", completed_at=1).execute()
    bus, exporter = Bus(), InMemorySpanExporter()
    traces = Traces(bus, exporter)
    with ThreadPoolExecutor(8) as pool:
        for one in asked:
            pool.submit(bus.publish, BuildCompleted(one.deployment_id, one.build_id))
    traces.flush()
    found = {
        span.attributes["deploystack.build"]: span.context.trace_id
        for span in exporter.get_finished_spans()
        if span.attributes and span.context
    }
    assert found == {one.build_id: trace_id(one.build_id) for one in asked}


def test_a_push_is_one_trace_with_a_span_for_each_stage(database: Database) -> None:
    with database.write():
        project = connect_project(
            "octo/site", production_branch="main", private=False, installation_id=None
        )
        build_id = request_build(project, "a" * 40, "main", "push", "production").build_id
        build = Build.get_by_id(build_id)
        Build.update(
            status="ready",
            stages=json.dumps({"queue": 0.25, "fetch": 0.5, "build": 2.0}),
            completed_at=build.created_at + 3000,
        ).where(Build.id == build_id).execute()
    bus, exporter = Bus(), InMemorySpanExporter()
    traces = Traces(bus, exporter)
    bus.publish(BuildCompleted(build.deployment_id, build_id))
    traces.flush()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"push", "queue", "fetch", "build"}
    assert {span.context.trace_id for span in spans.values()} == {trace_id(build_id)}
    push = spans["push"]
    assert all(
        spans[stage].parent.span_id == push.context.span_id for stage in ("queue", "fetch", "build")
    )
    assert push.end_time - push.start_time == 3_000_000_000
    assert spans["fetch"].start_time == spans["queue"].end_time
    assert spans["build"].end_time - spans["build"].start_time == 2_000_000_000
    assert push.attributes["deploystack.build"] == build_id
