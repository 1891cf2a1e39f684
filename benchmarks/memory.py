"""Resident memory of web and worker at rest, after one push each way.

    python -m benchmarks.memory

RSS counts pages that processes share once for each; PSS divides them fairly.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.bots import running_bot
from benchmarks.programs import table
from bot.local import follow, push, supervisor
from bot.local.demo import SITES


def processes(marker: str) -> dict[int, str]:
    """Process ids and command lines of the bot whose environment has `marker`."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(entry.name)] = command
        except OSError:
            continue
    return found


def memory(pid: int) -> tuple[int, int]:
    """(RSS, PSS) in KiB. https://docs.kernel.org/filesystems/proc.html"""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{n}:\s+(\d+)", rollup, re.MULTILINE)[1]) for n in ("Rss", "Pss"))  # type: ignore[return-value,index]


def main() -> None:
    with tempfile.TemporaryDirectory() as name, running_bot(Path(name)) as settings:
        shutil.copytree(SITES / "plain", Path(name) / "site")
        with push.commit_folder(Path(name) / "site", "Measure") as source:
            pushed = push.push(source, "HEAD", settings, "site", "main")
        url = supervisor.local_url(settings)
        push.send(settings, url, "push", push.payload(pushed))
        while not (build := follow.newest_build(url, pushed.after)) or build["status"] != "ready":
            time.sleep(0.1)
        rows = []
        for pid, command in processes(f"DATA_DIR={settings.DATA_DIR}").items():
            kind = "web" if "gunicorn" in command else "worker" if "bot worker" in command else ""
            if kind:
                rows.append((kind, pid, *memory(pid)))
    rows.sort()
    totals = [sum(row[column] for row in rows) for column in (2, 3)]
    shown = [(k, p, f"{rss / 1024:.1f}", f"{pss / 1024:.1f}") for k, p, rss, pss in rows]
    shown.append(("together", "", *(f"{total / 1024:.1f}" for total in totals)))
    table(("process", "pid", "RSS MiB", "PSS MiB"), shown)


if __name__ == "__main__":
    main()
