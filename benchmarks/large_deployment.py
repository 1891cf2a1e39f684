"""One deployment of 100,000 files: seconds and memory to publish it, and to serve it.

    python -m benchmarks.large_deployment [files] [deployments]

Publishing and serving run in processes of their own, whose peak of resident memory is
told. Then the same small deployment is published and served first in an empty store,
then in one that holds 10,000 deployments: what that costs must not depend on them.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.programs import table
from bot.builders.publish import store_folder
from bot.storage.disk import DiskStore
from bot.storage.manifest import Entry, Manifest

SMALL = 20  # files of each of the many deployments


def peak() -> float:
    """The most resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def publish(root: Path, folder: Path) -> None:
    started = time.monotonic()
    store = DiskStore(root)
    paths = (path for path in folder.rglob("*") if path.is_file())
    files = store_folder(store, ((str(path.relative_to(folder)), path) for path in paths))
    stored = time.monotonic()
    store.publish(Manifest(deployment="dpl_large", files=files))
    published = time.monotonic()
    print(f"{stored - started:.2f} {published - stored:.2f} {peak():.0f}")


def serve(root: Path, files: int) -> None:
    started = time.monotonic()
    store = DiskStore(root)
    manifest = store.manifest("dpl_large")
    loaded = time.monotonic()
    for entry in manifest.files.values():
        with store.open(entry.digest) as file:
            file.read()
    read = time.monotonic()
    assert len(manifest.files) == files
    print(f"{loaded - started:.2f} {read - loaded:.2f} {peak():.0f}")


def in_a_process(*arguments: str) -> list[str]:
    command = (sys.executable, "-m", "benchmarks.large_deployment", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def write_files(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<h1>{number}</h1>" + "x" * 200)


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
    from bot.storage.manifest import encode

    for number in range(count):
        files = {
            f"{n}.html": Entry(*store.put_bytes([f"kept {number} {n}".encode()]), "text/html")
            for n in range(2)
        }
        manifest = Manifest(deployment=f"dpl_kept_{number}", files=files)
        (root / "manifests" / f"dpl_kept_{number}.json").write_bytes(encode(manifest))


def main(files: int, deployments: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name) / "site", Path(name) / "artifacts"
        folder.mkdir()
        write_files(folder, files)
        stored, published, memory = in_a_process("publish", str(root), str(folder))
        loaded, read, web = in_a_process("serve", str(root), str(files))
        rows = [
            ("store", stored, ""), ("publish", published, memory),
            ("load the manifest", loaded, ""), ("read every file", read, web),
        ]  # fmt: skip
        table((f"{files:,} files", "seconds", "peak MiB"), rows)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        store = DiskStore(root)
        found = []
        for held in (0, deployments):
            fill(store, root, held)
            ours = timed(lambda number, held=held: small(store, f"dpl_{held}_{number}"))  # type: ignore[misc]
            theirs = timed(lambda number, held=held: store.manifest(f"dpl_{held}_{number}"))  # type: ignore[misc]
            found.append((f"{held:,}", f"{ours:.2f}", f"{theirs:.3f}"))
        table(("deployments held", "publish ms", "load ms"), found)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["publish", root, folder]:
            publish(Path(root), Path(folder))
        case ["serve", root, files]:
            serve(Path(root), int(files))
        case given:
            main(*[int(number) for number in (*given, "100000", "10000")[:2]])
