"""What looking through an output and storing it costs: 2,000 files, 81 MB of text and images.

    python -m benchmarks.output_reading [--rounds 5]

CPU time, since a busy machine's clock says little.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bot.builders import output, publish, unchanged
from bot.builders.absolute_urls import AbsoluteUrls
from bot.builders.job import Job
from bot.builders.leaks import LeakGate
from bot.builders.looking import Looker
from bot.secret import Secret
from bot.storage.disk import DiskStore

_FILES = 2000
_KINDS = ("html", "html", "js", "js", "css", "png", "svg", "json")
_LIMITS = output.OutputLimits(files=10**6, file_size=1 << 30, total_size=1 << 32)
_JOB = Job(
    build_id="bld-1",
    deployment_id="dpl-0123456789abcdefghjkmnpqrs",
    project="octo/site",
    sha="c" * 40,
    ref="main",
    environment="preview",
    base_path=f"/{'c' * 40}/",
)


class _Silence:
    def say(self, line: str) -> None:
        del line

    def write(self, output: bytes) -> None:
        del output


def make(folder: Path) -> None:
    chance = random.Random(1)
    words = [bytes(chance.choices(range(97, 123), k=chance.randint(3, 9))) for _ in range(4000)]
    for number in range(_FILES):
        kind, size = chance.choice(_KINDS), chance.randint(10_000, 70_000)
        text = b" ".join(chance.choices(words, k=size // 7))[:size]
        place = folder / f"d{number % 50}"
        place.mkdir(parents=True, exist_ok=True)
        content = chance.randbytes(size) if kind == "png" else text
        (place / f"f{number}.{kind}").write_bytes(content)


def once(folder: Path, names: Sequence[str]) -> float:
    """CPU milliseconds."""
    secrets = {f"S{number}": Secret(os.urandom(20).hex()) for number in range(3)}
    known: dict[str, Looker] = {
        "secrets": LeakGate(secrets),
        "links": AbsoluteUrls(_JOB.base_path),
        "mentions": unchanged.Mentions(_JOB),
    }
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        copy = Path(name, "output")
        shutil.copytree(folder, copy)
        store = DiskStore(Path(name, "store"))
        started = time.process_time()
        files = output.check_folder(copy, _LIMITS, _Silence())
        publish.store_folder(store, files, "", [known[looker] for looker in names])
        return (time.process_time() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print("| looked for | CPU ms |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "source")
        make(folder)
        every: tuple[tuple[str, ...], ...] = ((), ("secrets",), ("links",), ("mentions",))
        for names in (*every, ("secrets", "links", "mentions")):
            taken = statistics.median(once(folder, names) for _ in range(rounds))
            print(f"| {', '.join(names) or 'nothing: stored alone'} | {taken:.0f} |")


if __name__ == "__main__":
    main()
