"""One deployment of 100,000 files and 10 GB: what it takes to publish it, and to serve it.

    python -m benchmarks.large_deployment [--files 100000] [--gigabytes 10] [--real]
    python -m benchmarks.large_deployment --deployments 10000

Files are sparse, a page of disk each, unless `--real`: their bytes are read, digested and
served all the same. Publishing (check, store, manifest, rows of the files table) runs in a
process of its own, whose peak of resident memory is told; both servers are asked for files
all over the deployment, and theirs must stay within what PREVIEW_CACHE_SIZE adds.

With `--deployments`: what publishing and loading a small deployment costs in an empty store
and in one that holds so many.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.many_deployments import resident, servers
from benchmarks.programs import table, wrk
from bot.builders.output import OutputLimits, check_folder
from bot.builders.publish import store_folder
from bot.models import builds, deployments
from bot.models.database import connect
from bot.models.projects import connect_project
from bot.settings import load
from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest, encode
from bot.storage.urls import open_store

SMALL = 20  # files of each of the many deployments
SHA = "1234567890abcdef1234567890abcdef12345678"


class _Log:
    def say(self, line: str) -> None:
        raise AssertionError(line)


def peak() -> float:
    """The most resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def publish(data: Path, folder: Path) -> None:
    """From an output folder to a live deployment, as the worker does."""
    settings = load({"DATA_DIR": str(data)}, None)
    database = connect(settings.DATABASE_URL)
    store = open_store(settings)
    with database.write():
        project_id = connect_project(
            "octo/large", production_branch="main", private=False, installation_id=None
        )
        asked = deployments.request_build(project_id, SHA, "main", "push", "preview")
        builds.claim(asked.build_id, "benchmark")
    seconds = {}
    started = time.monotonic()

    def ended(stage: str) -> None:
        seconds[stage] = time.monotonic() - started - sum(seconds.values())

    limits = OutputLimits(files=1 << 20, file_size=1 << 40, total_size=1 << 50)
    checked = list(check_folder(folder, limits, _Log()))  # type: ignore[arg-type]
    ended("check")
    files = store_folder(store, checked)
    ended("read, digest and store")
    manifest = Manifest(
        deployment=asked.deployment_id, files=files, base=f"/{SHA}/", created_at=1, compressed=True
    )
    store.publish(manifest)
    ended("flush and publish")
    rows = [(path, e.size, e.media_type, e.digest) for path, e in files.items()]
    with database.write():
        assert builds.succeed(asked.build_id, "benchmark", {}, rows)
    ended("files table: live")
    memory = peak()
    for stage, took in seconds.items():
        print(f"{stage}|{took:.2f}|{memory:.0f}")


def serve(data: Path, files: int) -> list[tuple[str, ...]]:
    """Ask both servers for files all over it."""
    script = data / "all_over.lua"
    script.write_text(
        f"local n = 0\nfunction request()\nn = (n + 7919) % {files}\n"
        f"local path = string.format('/{SHA}/%03d/%d.html', math.floor(n / 1000), n)\n"
        "return wrk.format('GET', path)\nend\n"
    )
    rows = []
    with servers({"": data}) as started:
        for (server, _), (address, pid) in started.items():
            before = resident(pid)
            began = time.monotonic()
            wrk(f"{address}/{SHA}/000/0.html", seconds=1, connections=2)
            first = time.monotonic() - began - 1
            load = wrk(address, seconds=4, script=script)
            assert not load.refused
            memory = f"{before:.0f} → {resident(pid):.0f}"
            rows.append((server, f"{first:.1f}", f"{load.rate:,.0f}", f"{load.p99:.0f}", memory))
    return rows


def write_files(folder: Path, count: int, size: int, real: bool) -> None:
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number}.html"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(f"<h1>{number}</h1>".encode())
            if real:
                file.write(os.urandom(size - file.tell()))
            else:
                file.truncate(size)
    (folder / "index.html").write_text("large")


def timed(work: Callable[[int], object], rounds: int = 30) -> float:
    """The median in ms."""
    seconds = []
    for number in range(rounds):
        started = time.monotonic()
        work(number)
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds) * 1000


def small(store: DiskStore, name: str) -> None:
    files = {
        f"{n}.html": Entry(*store.put_bytes([f"{name} {n}".encode()]), "text/html")
        for n in range(SMALL)
    }
    store.publish(Manifest(deployment=name, files=files))


def fill(store: DiskStore, root: Path, count: int) -> None:
    """Many deployments, without waiting for the disk for each."""
    for number in range(count):
        files = {
            f"{n}.html": Entry(*store.put_bytes([f"kept {number} {n}".encode()]), "text/html")
            for n in range(2)
        }
        manifest = Manifest(deployment=f"dpl_kept_{number}", files=files)
        (root / "manifests" / f"dpl_kept_{number}.json").write_bytes(encode(manifest))


def measure_one(files: int, gigabytes: float, real: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        data, folder = Path(name) / "data", Path(name) / "site"
        folder.mkdir()
        write_files(folder, files, int(gigabytes * 1e9 / files), real)
        command = (sys.executable, "-m", "benchmarks.large_deployment")
        done = subprocess.run(
            (*command, "--publish", str(data), str(folder)),
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        kind = "" if real else " (sparse)"
        rows = [tuple(line.split("|")) for line in done.stdout.splitlines()]
        table((f"{files:,} files, {gigabytes:g} GB{kind}", "seconds", "peak MiB"), rows)
        print()
        found = serve(data, files)
        table(("served by", "first s", "requests/s", "p99 ms", "MiB: at rest → served"), found)


def measure_many(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        store = DiskStore(root)
        found = []
        for held in (0, count):
            fill(store, root, held)
            ours = timed(lambda number, held=held: small(store, f"dpl_{held}_{number}"))  # type: ignore[misc]
            theirs = timed(lambda number, held=held: store.manifest(f"dpl_{held}_{number}"))  # type: ignore[misc]
            found.append((f"{held:,}", f"{ours:.2f}", f"{theirs:.3f}"))
        table(("deployments held", "publish ms", "load ms"), found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--deployments", type=int, default=0)
    parser.add_argument("--publish", nargs=2, type=Path)
    given = parser.parse_args()
    if given.publish:
        publish(*given.publish)
    elif given.deployments:
        measure_many(given.deployments)
    else:
        measure_one(given.files, given.gigabytes, given.real)


if __name__ == "__main__":
    main()
