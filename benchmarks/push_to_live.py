"""From the first byte of a webhook to the first 200 of the page, over a real bot.

    python -m benchmarks.push_to_live [--pushes 11]

A plain site of three files; each push changes one. The page is asked for every two
milliseconds. Stages are what the build itself reports.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.bots import running_bot
from benchmarks.programs import table
from bot.local import follow, push, supervisor
from bot.settings import Settings

_ASK = 0.002  # seconds


def until_live(settings: Settings, sha: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", settings.PORT)
    while True:
        connection.request("GET", f"/{sha}/")
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            connection.close()
            return
        time.sleep(_ASK)


def one(settings: Settings, folder: Path, number: int) -> dict[str, float]:
    """Milliseconds of one push, in all and by stage."""
    (folder / "index.html").write_text(f"<!doctype html><title>{number}</title>{time.time_ns()}")
    (folder / "style.css").write_text("body { margin: 4rem }")
    (folder / "about.html").write_text("<!doctype html><title>About</title>")
    with push.commit_folder(folder, f"Push {number}") as source:
        pushed = push.push(source, "HEAD", settings, "site", "main")
    body = push.payload(pushed)
    # GitHub's clock has whole seconds; pushes of one second are ordered by what they follow.
    began = time.perf_counter()
    push.send(settings, supervisor.local_url(settings), "push", body)
    answered = time.perf_counter()
    until_live(settings, pushed.after)
    live = time.perf_counter()
    build = follow.newest_build(supervisor.local_url(settings), pushed.after)
    stages = build["stages"] if build is not None else {}
    return {
        "webhook to live": (live - began) * 1000,
        "webhook answered": (answered - began) * 1000,
        **{f"stage {name}": seconds * 1000 for name, seconds in sorted(stages.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=11)
    pushes = parser.parse_args().pushes
    with tempfile.TemporaryDirectory() as name, running_bot(Path(name)) as settings:
        folder = Path(name) / "site"
        folder.mkdir()
        measured = [one(settings, folder, number) for number in range(pushes)]
    first, later = measured[0], measured[1:]
    rows = [
        (
            what,
            f"{milliseconds:.1f}",
            f"{statistics.median(push.get(what, 0) for push in later):.1f}",
            f"{max(push.get(what, 0) for push in later):.1f}",
        )
        for what, milliseconds in first.items()
    ]
    table(("ms", "first push", f"later, median of {len(later)}", "later, worst"), rows)


if __name__ == "__main__":
    main()
