"""What the benchmarks share: throw-away servers, wrk, and a table."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        sys.exit(f"{program} is not installed: apt-get install {program}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, **environment: str) -> Iterator[int]:
    """A server that listens on `port`, for the length of the block; yields its process id."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{command[0]} did not start")
            time.sleep(0.05)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@dataclass(frozen=True)
class Load:
    """One round of wrk; latencies in ms. `refused` counts answers that are not 2xx or 3xx."""

    rate: float
    p50: float
    p99: float
    refused: int
    requests: int


def wrk(
    url: str, *, connections: int = 32, seconds: int = 5, script: Path | None = None, **headers: str
) -> Load:
    command = [need("wrk"), "-t2", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in headers.items():
        command += ["-H", f"{name.replace('_', '-')}: {value}"]
    if script is not None:
        command += ["-s", str(script)]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return Load(
        rate=float(_one(r"Requests/sec:\s+([\d.]+)", out)),
        p50=_milliseconds(_one(r"\n +50% +(\S+)", out)),
        p99=_milliseconds(_one(r"\n +99% +(\S+)", out)),
        refused=int(refused[1]) if refused else 0,
        requests=int(_one(r"(\d+) requests in", out)),
    )


def processor_seconds(pid: int) -> float:
    """What a server's processes have used of the processors: its own, and its children's.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    out = subprocess.run(("pgrep", "-P", str(pid)), check=False, capture_output=True, text=True)
    ticks = 0
    for process in (str(pid), *out.stdout.split()):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def median(rounds: Sequence[Load]) -> Load:
    return Load(
        rate=statistics.median(r.rate for r in rounds),
        p50=statistics.median(r.p50 for r in rounds),
        p99=statistics.median(r.p99 for r in rounds),
        refused=sum(r.refused for r in rounds),
        requests=sum(r.requests for r in rounds),
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    texts = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(header))]
    for number, row in enumerate(texts):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        sys.exit(f"wrk printed no {pattern}:\n{text}")
    return found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
