"""A folder of 2,000 files (80 MB) on its way up: `python -m benchmarks.uploads`.

By digest (what `deploystack deploy` does) for the first time and after three changes,
as one zip file, and as `rsync -a` of the same folder to another one on this disk. The
aim for three changes is at most 1.5 times rsync's time. Then one archive of 1,000 MB, with
what it adds to the web process's memory, against a plain copy that is flushed.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.programs import free_port, need, running, table
from bot.api.client import Choice, Client

FILES, FOLDERS, FILE_SIZE, CHANGED = 2_000, 50, 40_000, 3
ROUNDS = 7
LARGE = 1000  # MB


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._random = random.Random(1)
        for number in range(FILES):
            self._write(number)
        (path / "index.html").write_text("<h1>a page</h1>")

    def change(self) -> None:
        for number in self._random.sample(range(FILES), CHANGED):
            self._write(number)

    def pack(self, target: Path) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for file in self.path.rglob("*.*"):
                archive.write(file, file.relative_to(self.path))

    def _write(self, number: int) -> None:
        file = self.path / str(number % FOLDERS) / f"{number}.dat"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self._random.randbytes(FILE_SIZE))


def small_files(client: Client, work: Path) -> None:
    folder = Folder(work / "folder")
    rsync = (need("rsync"), "-a", "--delete", f"{folder.path}/", f"{work / 'copy'}/")

    def send() -> None:
        client.deploy_folder(folder.path, Choice("benchmark"))

    def copy() -> None:
        subprocess.run(rsync, check=True)

    place = {"HOME": str(work), "DEPLOYSTACK_URL": client.url}
    command = (sys.executable, "-m", "bot", "deploy", str(folder.path), "--project", "benchmark")

    def whole() -> None:
        subprocess.run(command, check=True, env=os.environ | place, stdout=subprocess.DEVNULL)

    def zipped() -> None:
        folder.pack(work / "folder.zip")
        client.deploy_archive(work / "folder.zip", Choice("benchmark"))

    cold = (seconds(send), seconds(copy))
    time.sleep(3)  # files must be older than their time can tell apart
    send()
    whole()
    rounds = []
    for _ in range(ROUNDS):
        folder.change()
        sent_now, copied_now = seconds(send), seconds(copy)
        folder.change()
        rounds.append((sent_now, copied_now, seconds(whole)))
    sent, copied, command_took = (statistics.median(column) for column in zip(*rounds, strict=True))
    rows = [
        ("first time", f"{cold[0]:.2f}", f"{seconds(zipped):.2f}", f"{cold[1]:.2f}"),
        (f"{CHANGED} files changed", f"{sent:.3f}", "", f"{copied:.3f}"),
    ]
    table(("seconds", "by digest", "as a zip", "rsync -a"), rows)
    print(f"{CHANGED} files changed: {sent / copied:.1f} times rsync's time (aim: 1.5)")
    print(f"The whole command, Python's start included: {command_took:.3f} s\n")


def one_large_file(client: Client, work: Path, pid: int) -> None:
    archive = work / "large.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("index.html", "<h1>a page</h1>")
        for number in range(LARGE // 50):
            packed.writestr(f"{number}.bin", os.urandom(50 << 20))
    before = _memory(pid)
    sent = seconds(lambda: client.deploy_archive(archive, Choice("large")))
    added = _memory(pid) - before

    def copy() -> None:
        with archive.open("rb") as source, (work / "copied").open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            os.fsync(target.fileno())

    rows = [
        ("upload, unpack, store, publish", f"{sent:.2f}", f"{LARGE / sent:.0f}", f"{added:.0f}"),
        ("copy and flush", f"{(took := seconds(copy)):.2f}", f"{LARGE / took:.0f}", ""),
    ]
    table((f"{LARGE} MB", "seconds", "MB/s", "memory added, MB"), rows)


def _memory(pid: int) -> float:
    """The most that any web process has held so far, in MB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    held = (Path(f"/proc/{child}/status").read_text() for child in children)
    return max(int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024 for status in held)


def main() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        settings = {"DATA_DIR": str(work / "data"), "PORT": str(port), "WEB_WORKERS": "1"}
        command = (sys.executable, "-m", "gunicorn", "--config", "python:bot.gunicorn_settings")
        with running((*command, "bot.wsgi:application"), port, **settings) as pid:
            client = Client(f"http://localhost:{port}", cache=work / "cache")
            client.get("projects")
            small_files(client, work)
            one_large_file(client, work, pid)
            client.close()


if __name__ == "__main__":
    main()
