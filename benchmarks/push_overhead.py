"""What the bot itself adds to a push, stage by stage: `python -m benchmarks.push_overhead`.

A repository of 5,000 files in 550 folders (43 MB) is deployed in full, then again
after each of several commits that change three files. All that is not a command of
the project is our own cost: fetching, looking, publishing, recording. `static` is
published straight from Git; `built` has a build that only moves a folder, and so shows
what the checkout and the check of an output of the same size add. The aim is 500 ms
for a later push.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.programs import table
from bot.builders.job import Built, Control, Job, Stage
from bot.builders.log import FileLog
from bot.builders.pipeline import Pipeline, create_pipeline
from bot.settings import load
from bot.storage.disk import DiskStore

FILES, FOLDERS, CHANGED = 5_000, 550, 3
FILE_SIZE = 8_600  # bytes: 43 MB in all
# Installing and building are the project's own time.
OURS = (Stage.FETCH, Stage.CHECKOUT, Stage.PUBLISH)


class Origin:
    """The repository that is pushed to."""

    def __init__(self, folder: Path, *, built: bool) -> None:
        self._folder = folder
        self._random = random.Random(1)
        self._git("init", "--quiet", "--initial-branch=main")
        for number in range(FILES):
            path = self._path(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._content())
        (folder / "site" / "index.html").write_text("<h1>0</h1>")
        if built:
            # A build that hardly does anything: the commands' own time is not ours.
            (folder / "package.json").write_text('{"scripts": {"build": "mv site dist"}}')
        else:
            (folder / "index.html").write_text("<h1>plain</h1>")

    def commits(self, count: int) -> Iterator[str]:
        for number in range(count):
            for changed in self._random.sample(range(FILES), CHANGED) if number else ():
                self._path(changed).write_bytes(self._content())
            self._git("add", "--all")
            self._git("-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "x")
            yield self._git("rev-parse", "HEAD")

    def _path(self, number: int) -> Path:
        folder = number % FOLDERS
        return self._folder / "site" / f"{folder // 25}" / f"{folder}" / f"{number}.html"

    def _content(self) -> bytes:
        # Half of it compresses, as pages do.
        noise = self._random.randbytes(FILE_SIZE // 3)
        return noise + noise.hex().encode()

    def _git(self, *arguments: str) -> str:
        argv = ("git", "-C", str(self._folder), *arguments)
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=8, help="later pushes of each kind")
    parser.add_argument("--work", help="WORK_DIR, such as a folder in /dev/shm")
    options = parser.parse_args()
    print("Median of the later pushes (first push), in ms.\n")
    rows = []
    for kind in ("static", "built"):
        measured = measure(kind, options.pushes, options.work)
        cells = [_cell([push[name] for push in measured]) for name in (*OURS, "lay out")]
        # The tree of links is made after the page is live: it delays nobody.
        totals = [sum(push[name] for name in OURS) for push in measured]
        rows.append((kind, *cells, _cell(totals)))
    table(("", *OURS, "lay out", "our own, in all"), rows)


def _cell(seconds: list[float]) -> str:
    first, *later = (1000 * value for value in seconds)
    return f"{statistics.median(later):.0f} ({first:.0f})"


def measure(kind: str, pushes: int, work: str | None) -> list[dict[str, float]]:
    """Seconds of each stage for each push, the first included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {"DATA_DIR": str(folder / "data")} | ({"WORK_DIR": work} if work else {})
        settings = load(environ, dotenv=None)
        origin = Path(settings.clone_url("_local/big"))
        origin.mkdir(parents=True)
        store = DiskStore(settings.DATA_DIR / "artifacts")
        pipeline = create_pipeline(settings, store, lambda _project: None)
        rows = []
        previous = ""
        for number, sha in enumerate(Origin(origin, built=kind == "built").commits(pushes + 1)):
            log = FileLog(folder / f"{number}.log", settings.BUILD_LOG_SIZE)
            built = _deploy(pipeline, sha, f"dpl_{number}", previous, log)
            log.close()
            started = time.perf_counter()
            store.lay_out(built.manifest)
            laid_out = time.perf_counter() - started
            previous = built.manifest.deployment
            seconds = {stage.value: built.stages.get(stage, 0.0) for stage in Stage}
            rows.append({**seconds, "lay out": laid_out})
        return rows


def _deploy(pipeline: Pipeline, sha: str, deployment: str, previous: str, log: FileLog) -> Built:
    job = Job(
        build_id=f"bld_{deployment}",
        deployment_id=deployment,
        project="_local/big",
        sha=sha,
        ref="main",
        environment="preview",
        base_path=f"/{sha}/",
        previous=previous,
    )
    control = Control(log=log, entering=lambda _stage: None, framework=lambda _name: None)
    return pipeline.run(job, control)


if __name__ == "__main__":
    main()
