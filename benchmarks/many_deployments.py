"""What serving one deployment costs where it is the only one, and where 10,000 are stored.

    python -m benchmarks.many_deployments [--deployments 10000] [--rounds 5]

Both servers, each with a data folder of either kind, in interleaved rounds; the time of the
processors that a request takes tells more than the rate on a busy machine. Then every one
of the many is visited, in each worker process, and memory is looked at again: it must stay
within what PREVIEW_CACHE_SIZE adds to the memory of a process that has served one.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.memory import memory
from benchmarks.programs import Load, free_port, processor_seconds, running, table, wrk
from benchmarks.serving import shipped_gunicorn
from bot.models.database import connect
from bot.models.projects import connect_project
from bot.models.tables import Deployment, File
from bot.settings import load
from bot.storage.manifest import Entry, Manifest, encode
from bot.storage.urls import open_store

FILES = 10  # of each deployment, of which one is its own
PAGE = 4096  # bytes


def sha(number: int) -> str:
    return f"{number:040x}"


def fill(data: Path, count: int) -> None:
    """So many deployments, in the database and in the store, of a hundred projects."""
    settings = load({"DATA_DIR": str(data)}, None)
    database = connect(settings.DATABASE_URL)
    store = open_store(settings)
    shared = {
        f"part{n}.js": Entry(*store.put_bytes([f"{n}".encode() * PAGE]), "text/javascript")
        for n in range(FILES - 1)
    }
    projects = [
        connect_project(f"octo/{n}", production_branch="main", private=False, installation_id=None)
        for n in range(min(count, 100))
    ]
    manifests = data / "artifacts" / "manifests"
    with database.write():
        for number in range(count):
            identifier = f"dpl-{number:026d}"
            page = Entry(*store.put_bytes([f"{number:>{PAGE}}".encode()]), "text/html")
            files = {"index.html": page, **shared}
            Deployment.insert(
                id=identifier, project=projects[number % len(projects)], sha=sha(number),
                source="push", status="ready", created_at=number, updated_at=number,
            ).execute()  # fmt: skip
            add_files(identifier, files)
            manifest = Manifest(
                deployment=identifier, files=files, base=f"/{sha(number)}/", created_at=1
            )
            # Without waiting for the disk for each, as `publish` would.
            (manifests / f"{identifier}.json").write_bytes(encode(manifest))
    database.close()


def add_files(deployment: str, files: Mapping[str, Entry]) -> None:
    """The rows of the files table; the caller holds a transaction."""
    rows = [
        {"deployment": deployment, "path": path, "size": e.size, "mime_type": e.media_type,
         "digest": e.digest}
        for path, e in files.items()
    ]  # fmt: skip
    for start in range(0, len(rows), 150):
        File.insert_many(rows[start : start + 150]).execute()


@contextlib.contextmanager
def servers(folders: dict[str, Path]) -> Iterator[dict[tuple[str, str], tuple[str, int]]]:
    """(server, kind of folder) → (address, process id), all running."""
    with contextlib.ExitStack() as stack:
        started = {}
        for kind, data in folders.items():
            for server in ("gunicorn", "Granian"):
                port = free_port()
                command = shipped_gunicorn("bot.wsgi:application", port)
                given = {"DATA_DIR": str(data)}
                if server == "Granian":
                    command = [sys.executable, "-m", "bot.serve.main"]
                    given["PREVIEW_PORT"] = str(port)
                pid = stack.enter_context(running(command, port, **given))
                started[server, kind] = f"http://127.0.0.1:{port}", pid
        yield started


def resident(pid: int) -> float:
    """The memory of the largest process of a server, in MiB."""
    out = subprocess.run(("pgrep", "-P", str(pid)), check=False, capture_output=True, text=True)
    return max(memory(int(child))[0] for child in (*out.stdout.split(), pid)) / 1024


def visit_all(address: str, count: int, script: Path) -> None:
    """Each deployment in turn, until each was visited about once by each worker process."""
    script.write_text(
        "local n = 0\nfunction request()\n"
        f"n = (n + 1) % {count}\n"
        "return wrk.format('GET', string.format('/%040x/', n))\nend\n"
    )
    seen = 0
    while seen < 2 * count:
        load = wrk(address, seconds=3, script=script)
        assert not load.refused
        seen += load.requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = {"1": Path(name) / "one", f"{given.deployments:,}": Path(name) / "many"}
        for (kind, data), count in zip(folders.items(), (1, given.deployments), strict=True):
            print(f"filling {kind} …", file=sys.stderr)
            fill(data, count)
        with servers(folders) as started:
            found: dict[tuple[str, str], list[Load]] = {key: [] for key in started}
            costs: dict[tuple[str, str], list[float]] = {key: [] for key in started}
            for _ in range(given.rounds):
                for key, (address, pid) in started.items():
                    before = processor_seconds(pid)
                    load = wrk(f"{address}/{sha(0)}/", seconds=1)
                    found[key].append(load)
                    costs[key].append((processor_seconds(pid) - before) / load.requests * 1e6)
            at_first = {key: resident(pid) for key, (_, pid) in started.items()}
            many = f"{given.deployments:,}"
            rows = []
            for (server, kind), loads in found.items():
                address, pid = started[server, kind]
                after = ""
                if kind == many:
                    visit_all(address, given.deployments, Path(name) / "visit.lua")
                    after = f"{resident(pid):.0f}"
                one = found[server, "1"]
                ratio = statistics.median(a.rate / b.rate for a, b in zip(loads, one, strict=True))
                cost = statistics.median(costs[server, kind])
                rate = statistics.median(load.rate for load in loads)
                cells = (
                    f"{rate:,.0f}",
                    f"{ratio:.2f}",
                    f"{cost:.0f}",
                    f"{at_first[server, kind]:.0f}",
                    after,
                )
                rows.append((server, kind, *cells))
    table(("server", "stored", "requests/s", "ratio", "CPU µs", "MiB", "MiB, all visited"), rows)


if __name__ == "__main__":
    main()
