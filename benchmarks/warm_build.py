"""A Vite React project: what a person does by hand, and what a push costs here.

    python -m benchmarks.warm_build [--rounds 7]

By hand is `npm ci` and `npm run build` in a fresh copy, with npm's cache as warm as it
gets. Ours is the whole pipeline: fetch the commit, check it out, bring the dependencies
in, build in the sandbox, check and publish. Each round changes one source; rounds take
turns, and medians are shown. Cold is the first of each, with nothing kept anywhere but
what the package registry's mirror holds.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.programs import ROOT, need, table
from bot.builders.job import Control, Job
from bot.builders.pipeline import Pipeline, create_pipeline
from bot.local import push
from bot.settings import Settings, load
from bot.storage.disk import DiskStore

SITE = ROOT / "bot" / "local" / "sites" / "react"


class Silent:
    def say(self, line: str) -> None:
        pass

    def write(self, output: bytes) -> None:
        pass


def change(folder: Path, number: int) -> None:
    style = folder / "src" / "style.css"
    style.write_text(f"{style.read_text()}\n.round-{number} {{ margin: {number}px }}\n")


def by_hand(source: Path, place: Path, cache: Path) -> dict[str, float]:
    shutil.copytree(source, place)
    environ = os.environ | {"npm_config_cache": str(cache)}
    seconds = {}
    for name, argv in (
        ("install", ("npm", "ci", "--no-audit", "--no-fund")),
        ("build", ("npm", "run", "build")),
    ):
        began = time.perf_counter()
        subprocess.run(argv, cwd=place, env=environ, check=True, capture_output=True)
        seconds[name] = time.perf_counter() - began
    shutil.rmtree(place)
    return {"all": sum(seconds.values())} | seconds


def ours(pipeline: Pipeline, settings: Settings, source: Path, number: int) -> dict[str, float]:
    with push.commit_folder(source, f"Round {number}") as repository:
        sha = push.push(repository, "HEAD", settings, "site", "main").after
    job = Job(
        build_id=f"bld_{number}",
        deployment_id=f"dpl_{number}",
        project="_local/site",
        sha=sha,
        ref="main",
        environment="preview",
        base_path=f"/{sha}/",
        previous=f"dpl_{number - 1}" if number else "",
    )
    control = Control(log=Silent(), entering=lambda _: None, framework=lambda _: None)
    began = time.perf_counter()
    built = pipeline.run(job, control)
    whole = time.perf_counter() - began
    return {"all": whole} | {stage.value: seconds for stage, seconds in built.stages.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    need("npm")
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="warm-build-") as name:
        place = Path(name)
        place.chmod(0o755)
        settings = load({"DATA_DIR": str(place / "data")}, dotenv=None)
        pipeline = create_pipeline(
            settings, DiskStore(settings.DATA_DIR / "artifacts"), lambda _project: None
        )
        source = place / "source"
        shutil.copytree(SITE, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
        hand: list[dict[str, float]] = []
        mine: list[dict[str, float]] = []
        for number in range(rounds + 1):
            change(source, number)
            hand.append(by_hand(source, place / "hand", place / "npm-cache"))
            mine.append(ours(pipeline, settings, source, number))
        show(hand, mine)


def show(hand: list[dict[str, float]], mine: list[dict[str, float]]) -> None:
    def row(title: str, found: list[dict[str, float]]) -> list[str]:
        names = ("all", "fetch", "checkout", "install", "build", "publish")
        middle = [
            statistics.median([one[name] for one in found]) * 1000 if name in found[0] else None
            for name in names
        ]
        return [title, *("" if ms is None else f"{ms:,.0f}" for ms in middle)]

    table(
        ["milliseconds", "all", "fetch", "checkout", "install", "build", "publish"],
        [
            row("by hand, cold", hand[:1]),
            row("a push, cold", mine[:1]),
            row("by hand, warm", hand[1:]),
            row("a push, warm", mine[1:]),
        ],
    )
    ratio = statistics.median([o["all"] for o in mine[1:]]) / statistics.median(
        [h["all"] for h in hand[1:]]
    )
    print(f"A warm push takes {ratio:.2f} of the time by hand (aim: 0.50 at most).")


if __name__ == "__main__":
    main()
