"""1,000 signed pushes a second for a minute, against two web workers on Redis: is any lost?

    python -m benchmarks.sustained_intake [--rate 1000] [--seconds 60] [--database URL]

Redis is started for the run on a port of its own; the database is SQLite unless a
PostgreSQL URL is given (an empty database). Pushes arrive by the clock, not when the
one before was answered, over 64 connections. Afterwards every answered
delivery must be recorded, with a build, and with a status to tell.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.programs import free_port, need, running, table, wrk
from benchmarks.webhook_intake import LUA, bot, prepare
from bot.models import sql
from bot.models.database import connect

# Each connection waits until its next push is due.
_BY_THE_CLOCK = """
local ffi = require("ffi")
ffi.cdef[[ typedef struct { long s; long ns; } moment; int clock_gettime(int, moment *); ]]
local moment = ffi.new("moment")
local function now()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.s) * 1000 + tonumber(moment.ns) / 1000000
end
local began, due = nil, 0
function delay()
  if began == nil then began = now() end
  due = due + 1000 / @RATE@
  return math.max(0, math.floor(began + due - now()))
end
"""
_CONNECTIONS = 64
_THREADS = 2  # of wrk


@contextmanager
def redis() -> Iterator[str]:
    """A Redis of our own, which keeps nothing; yields its URL."""
    port = free_port()
    command = (need("redis-server"), "--port", str(port), "--save", "", "--bind", "127.0.0.1")
    with running(command, port):
        yield f"redis://127.0.0.1:{port}/0"


def count(database_url: str) -> dict[str, int]:
    """What came of it."""
    database = connect(database_url)
    found = {
        name: int(sql.rows(statement)[0][0])
        for name, statement in {
            "deliveries": "SELECT COUNT(*) FROM deliveries",
            "builds": "SELECT COUNT(*) FROM builds",
            "waiting builds": "SELECT COUNT(*) FROM builds WHERE status = 'queued'",
            "statuses": "SELECT COUNT(DISTINCT key) FROM outbox WHERE kind = 'status'",
        }.items()
    }
    database.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="pushes a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--kilobytes", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--database", default="")
    parser.add_argument("--config", default="python:bot.gunicorn_settings", help="of gunicorn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, redis() as queue_url:
        requests = Path(name) / "requests"
        requests.mkdir()
        prepare(requests, options.kilobytes, options.rate * (options.seconds + 2))
        lua = requests / "by-the-clock.lua"
        clock = _BY_THE_CLOCK.replace("@RATE@", str(options.rate / _THREADS))
        paced = LUA + clock
        lua.write_text(
            paced.replace("@FOLDER@", str(requests)).replace("@PATH@", "/webhooks/github")
        )
        data = Path(name) / "data"
        database_url = options.database or f"sqlite:///{data}/deploystack.db"
        given = {"QUEUE_URL": queue_url, "CACHE_URL": queue_url, "DATABASE_URL": database_url}
        with bot(data, options, **given) as url:
            load = wrk(url, connections=_CONNECTIONS, seconds=options.seconds, script=lua)
        found = count(database_url)
    rows = [("pushes answered", load.requests), ("refused", load.refused)]
    rows += list(found.items())
    table(("of them", "number"), rows)
    print(f"{load.rate:,.0f} a second; p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms")
    # wrk ends without waiting for what is under way.
    most = load.requests + _CONNECTIONS
    lost = not load.requests <= found["deliveries"] <= most
    if lost or load.refused:
        sys.exit("something was lost")
    if not found["deliveries"] == found["builds"] == found["statuses"]:
        sys.exit("a delivery has no build, or a build no status")


if __name__ == "__main__":
    main()
