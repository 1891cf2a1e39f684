"""`/readyz`: whether what this process depends on answers, and how quickly.

For load balancers, which send nothing more to a process that is not ready. `/healthz`
says only that the process lives: restarting it would not mend its database.
https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Environ = dict[str, Any]

logger = logging.getLogger(__name__)


def readiness(checks: Mapping[str, Callable[[], object]]) -> Callable[..., Iterable[bytes]]:
    """The WSGI application of `/readyz`. A check raises where its dependency fails."""

    def call(_environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = {name: _checked(name, check) for name, check in checks.items()}
        ready = all(result["ok"] for result in found.values())
        body = json.dumps({"ready": ready, "checks": found}).encode() + b"\n"
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        start_response("200 OK" if ready else "503 Service Unavailable", headers)
        return [body]

    return call


def _checked(name: str, check: Callable[[], object]) -> dict[str, object]:
    """The outcome and the latency in ms. The fault itself is for the log alone."""
    began = time.perf_counter()
    try:
        check()
        ok = True
    except Exception:  # whatever a driver raises, the answer is the same
        logger.warning("not ready: %s does not answer", name, exc_info=True)
        ok = False
    return {"ok": ok, "ms": round((time.perf_counter() - began) * 1000, 2)}
