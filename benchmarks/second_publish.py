"""Publishing a second build of 2,000 files and 80 MB, of which 1 % changed, against `cp -a`.

    python -m benchmarks.second_publish [--rounds 7]

Each round builds an output anew, copies it, and publishes it after an earlier one as a build
does: check, look for links that miss the base path and for the commit's own name, store,
manifest.
The tree for front servers and compressed variants come after the page is live: they are
told apart. Disk is what the file system says, without what the first build took.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.programs import table
from bot.builders.absolute_urls import AbsoluteUrls
from bot.builders.job import Job
from bot.builders.output import OutputLimits, check_folder
from bot.builders.publish import store_folder
from bot.builders.unchanged import Mentions
from bot.storage.disk import DiskStore
from bot.storage.manifest import Manifest

FILES, SIZE, CHANGED = 2000, 40_000, 20


class _Log:
    def say(self, line: str) -> None:
        raise AssertionError(line)


def write_output(folder: Path, round_: int) -> None:
    """2,000 files; the first 20 differ from round to round."""
    for number in range(FILES):
        seed = f"{number} {round_ if number < CHANGED else 0}"
        path = folder / f"{number % 40}" / f"{number}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(seed).randbytes(SIZE))


def publish(store: DiskStore, folder: Path, name: str, previous: str) -> tuple[float, float]:
    """Seconds until it is live, and seconds that its tree took then."""
    limits = OutputLimits(files=FILES, file_size=SIZE, total_size=FILES * SIZE)
    job = Job(
        build_id=f"bld_{name}", deployment_id=name, project="octo/site", sha=f"{name:0>40}",
        ref="main", environment="preview", base_path=f"/{name}/", previous=previous,
    )  # fmt: skip
    lookers = [AbsoluteUrls(job.base_path), Mentions(job)]
    started = time.perf_counter()
    checked = check_folder(folder, limits, _Log())  # type: ignore[arg-type]
    files = store_folder(store, checked, previous, lookers)
    manifest = Manifest(deployment=name, files=files, base=f"/{name}/", created_at=1)
    store.publish(manifest)
    live = time.perf_counter()
    store.lay_out(manifest)
    return live - started, time.perf_counter() - live


def copied(folder: Path, target: Path) -> float:
    started = time.perf_counter()
    subprocess.run(("cp", "-a", str(folder), str(target)), check=True)
    return time.perf_counter() - started


def used(folder: Path) -> int:
    """Bytes on the disk; what is linked several times counts once."""
    out = subprocess.run(
        ("du", "-s", "-B1", str(folder)), check=True, capture_output=True, text=True
    )
    return int(out.stdout.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    ours, theirs, trees, ratios, grown = [], [], [], [], []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        store = DiskStore(root / "artifacts")
        write_output(root / "first", 0)
        publish(store, root / "first", "dpl_0", "")
        for number in range(1, rounds + 1):
            output = root / f"output{number}"
            write_output(output, number)
            os.sync()
            theirs.append(copied(output, root / "copy"))
            subprocess.run(("rm", "-rf", str(root / "copy")), check=True)
            os.sync()
            before = used(root / "artifacts")
            live, tree = publish(store, output, f"dpl_{number}", f"dpl_{number - 1}")
            ours.append(live)
            trees.append(tree)
            grown.append(used(root / "artifacts") - before)
            ratios.append(ours[-1] / theirs[-1])
            subprocess.run(("rm", "-rf", str(output)), check=True)
    rows = [
        ("cp -a", f"{statistics.median(theirs) * 1000:.0f}", ""),
        ("publish", f"{statistics.median(ours) * 1000:.0f}", f"{statistics.median(ratios):.2f}"),
        ("its tree, once live", f"{statistics.median(trees) * 1000:.0f}", ""),
    ]
    table(("2,000 files, 80 MB, 1 % changed", "ms", "ratio (aim ≤ 1.5)"), rows)
    share = statistics.median(grown) / (FILES * SIZE)
    print(f"\nDisk: {statistics.median(grown) / 1e6:.2f} MB more, {share:.1%} (aim < 3 %)")


if __name__ == "__main__":
    main()
