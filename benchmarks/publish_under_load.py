"""Latencies of previews while a build publishes, against the same load without one.

    python -m benchmarks.publish_under_load [--rounds 6] [--connections 8]

Both servers serve a 4 KB page: alone; while a process publishes outputs of 2,000 files and
40 MB the whole time, one after the other (store, manifest, rows of the files table, tree);
and while a process that shares nothing with them keeps a processor busy. A machine with few
processors shares them between server, load and neighbour, so anything slows
them down there. What must not happen is that requests wait for a publishing: that it is
worse than the other neighbour.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.many_deployments import add_files, fill, servers, sha
from benchmarks.programs import ROOT, Load, table, wrk
from bot.builders.publish import store_folder
from bot.models.database import connect
from bot.models.tables import Deployment, Project
from bot.settings import load
from bot.storage.manifest import Manifest
from bot.storage.urls import open_store

FILES, SIZE = 2000, 20_000
WORDS = {
    "": "alone",
    "busy": "beside any busy process",
    "publish": "while a build publishes",
}


def publish_for_ever(data: Path) -> None:
    """As the worker does, with outputs that are ready in memory."""
    settings = load({"DATA_DIR": str(data)}, None)
    database = connect(settings.DATABASE_URL)
    store = open_store(settings)
    project = Project.get()
    output = data / "output"
    number = 0
    while True:
        number += 1
        output.mkdir()
        for file in range(FILES):
            (output / f"{file}.js").write_bytes(f"{number} {file} ".encode() * (SIZE // 10))
        identifier = f"dpl-{os.getpid():013d}{number:013d}"
        files = store_folder(store, ((p.name, p) for p in output.iterdir()))
        manifest = Manifest(deployment=identifier, files=files, created_at=1)
        store.publish(manifest)
        with database.write():
            Deployment.insert(
                id=identifier, project=project, source="push", status="ready",
                created_at=number, updated_at=number,
            ).execute()  # fmt: skip
            add_files(identifier, files)
        store.lay_out(manifest)
        subprocess.run(("rm", "-rf", str(output)), check=True)
        print(number, flush=True)


def busy_for_ever() -> None:
    """Whatever a processor gives, and nothing for the server."""
    content = bytes(1 << 20)
    print("started", flush=True)
    while True:
        hashlib.sha256(content).digest()


@contextlib.contextmanager
def neighbour(what: str, data: Path) -> Iterator[None]:
    """A process that does it all the while."""
    if not what:
        yield
        return
    command = (sys.executable, "-m", "benchmarks.publish_under_load", what, str(data))
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # one is done: it is well under way
        try:
            yield
        finally:
            process.kill()
    subprocess.run(("rm", "-rf", str(data / "output")), check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        fill(data, 1)
        with servers({"": data}) as started:
            found: dict[tuple[str, str], list[Load]] = {}
            for _ in range(given.rounds):
                for what in WORDS:
                    with neighbour(what, data):
                        for (server, _), (address, _) in started.items():
                            seen = wrk(
                                f"{address}/{sha(0)}/", seconds=2, connections=given.connections
                            )
                            found.setdefault((server, what), []).append(seen)
                    time.sleep(0.5)
    rows = []
    for (server, what), loads in sorted(found.items()):
        other = found[server, "busy"]
        ratio = statistics.median(a.p99 / b.p99 for a, b in zip(loads, other, strict=True))
        rate, p50, p99 = (
            statistics.median(getattr(load, name) for load in loads)
            for name in ("rate", "p50", "p99")
        )
        rows.append(
            (server, WORDS[what], f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}", f"{ratio:.2f}")
        )
    table(("server", "", "requests/s", "p50 ms", "p99 ms", "p99 to any neighbour's"), rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        publish_for_ever(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["busy"]:
        busy_for_ever()
    else:
        main()
