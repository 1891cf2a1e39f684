"""Static files, side by side: ours, Flask, WhiteNoise, nginx and Caddy on the same files.

    python -m benchmarks.serving [--rounds 5] [--seconds 2] [--only NAME,…]

Every server has two processes where it has a choice. Rounds are short and interleaved,
so that whatever else the machine does meets all alike; medians are shown, and ratios
are taken within each round. On a busy machine the processor time that a server takes for a
request says more than its rate: the ratios' last column is of that. Flask and WhiteNoise
lack most of what the others do.
Ours on gunicorn is run with the configuration that we ship. "Nothing on gunicorn" is
an application of three lines under the same configuration: no Python can be faster there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.programs import (
    ROOT,
    Load,
    free_port,
    median,
    need,
    processor_seconds,
    running,
    table,
    wrk,
)
from bot.models.database import connect
from bot.settings import load
from bot.storage.manifest import Entry, Manifest, media_type
from bot.storage.urls import open_store

SHA = "1234567890abcdef1234567890abcdef12345678"
FILES = {
    "index.html": os.urandom(2048).hex().encode(),
    "app.js": os.urandom(50_000).hex().encode(),
    "big.bin": os.urandom(5 << 20),
}
CASES = ("4 KB HTML", "100 KB JS", "5 MB file", "304")
PATHS = {"4 KB HTML": "index.html", "100 KB JS": "app.js", "5 MB file": "big.bin"}
# What must hold: (case, ours, at least this many times, the other's).
AIMS = (
    ("4 KB HTML", "ours on gunicorn", 1.6, "WhiteNoise"),
    ("4 KB HTML", "ours on gunicorn", 6.0, "Flask"),
    ("4 KB HTML", "ours on gunicorn", 0.9, "nothing on gunicorn"),
    ("4 KB HTML", "ours on Granian", 1.0, "Caddy"),
    ("4 KB HTML", "ours behind nginx", 0.9, "nginx"),
)
FLASK = """
from flask import Flask, send_from_directory
application = Flask(__name__, static_folder=None)
@application.get("/<path:name>")
def file(name):
    return send_from_directory({root!r}, name)
"""
WHITENOISE = """
from whitenoise import WhiteNoise
def nothing(environ, start_response):
    start_response("404 Not Found", [])
    return []
application = WhiteNoise(nothing, root={root!r}, prefix="/")
"""
NOTHING = """
content = {content!r}
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(content)))])
    return [content]
"""
CADDY = """{{
admin off
auto_https off
}}
http://127.0.0.1:{port} {{
root * {root}
file_server
}}"""
NGINX = """daemon off; pcre_jit on; {user} pid {folder}/pid; error_log {folder}/error.log crit;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{ access_log off; {temporary} {inside} }}"""
ALONE = """include /etc/nginx/mime.types; sendfile on; tcp_nopush on; keepalive_requests 1000000;
open_file_cache max=1000; server {{ listen 127.0.0.1:{port}; root {root}; }}"""


def publish(data: Path) -> None:
    """One deployment in store and database, laid out for front servers."""
    settings = load({"DATA_DIR": str(data)}, None)
    connect(settings.DATABASE_URL)
    store = open_store(settings)
    from bot.models.projects import connect_project
    from bot.models.tables import Deployment

    project = connect_project(
        "octo/site", production_branch="main", private=False, installation_id=None
    )
    identifier = f"dpl-{'0' * 26}"
    Deployment.insert(
        id=identifier, project=project, sha=SHA, source="push", status="ready",
        created_at=1, updated_at=1,
    ).execute()  # fmt: skip
    entries = {n: Entry(*store.put_bytes([c]), media_type(n)) for n, c in FILES.items()}
    manifest = Manifest(deployment=identifier, files=entries, base=f"/{SHA}/", created_at=1)
    store.publish(manifest)
    store.lay_out(manifest)


def nginx(folder: Path, inside: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    text = NGINX.format(user=user, folder=folder, temporary=temporary, inside=inside)
    (folder / "nginx.conf").write_text(text)
    return [need("nginx"), "-c", str(folder / "nginx.conf")]


def our_nginx(data: Path, port: int, bot: int) -> str:
    deploy = ROOT / "deploy"
    text = (deploy / "nginx.conf").read_text()
    artifacts = ("/var/lib/deploystack/artifacts", str(data / "artifacts"))
    store = data / "nginx_store.conf"
    store.write_text((deploy / "nginx_store.conf").read_text().replace(*artifacts))
    text = text.replace("/etc/nginx/deploystack_store.conf", str(store))
    for name in ("files", "proxy"):
        text = text.replace(f"/etc/nginx/deploystack_{name}", str(deploy / f"nginx_{name}"))
    text = text.replace(*artifacts)
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{bot}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    return f"keepalive_requests 1000000; {text}"


def shipped_gunicorn(target: str, port: int) -> list[str]:
    """gunicorn as we configure it: no more processes and threads than the others get."""
    return [
        sys.executable, "-m", "gunicorn", "--config", "python:bot.gunicorn_settings",
        "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "8", target,
    ]  # fmt: skip


def gunicorn(target: str, port: int) -> list[str]:
    return [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2",
        "--worker-class", "gthread", "--threads", "8", "--keep-alive", "15",
        "--log-level", "critical", "--worker-tmp-dir", "/dev/shm", target,
    ]  # fmt: skip


@contextlib.contextmanager
def servers(folder: Path, only: set[str]) -> Iterator[dict[str, tuple[str, int]]]:
    """All servers, running; name → (address of the files' folder, process id)."""
    data, root = folder / "data", folder / "www"
    root.mkdir()
    for name, content in FILES.items():
        (root / name).write_bytes(content)
    publish(data)
    (folder / "nothing.py").write_text(NOTHING.format(content=FILES["index.html"]))
    for module, text in (("flask_files", FLASK), ("whitenoise_files", WHITENOISE)):
        (folder / f"{module}.py").write_text(text.format(root=str(root)))
    started: dict[str, tuple[str, int]] = {}
    with contextlib.ExitStack() as stack:

        def start(name: str, command: list[str], port: int, prefix: str, **given: str) -> None:
            if only and name not in only:
                return
            path = f"{ROOT}{os.pathsep}{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
            given = {"DATA_DIR": str(data), "PYTHONPATH": path, "HOME": str(folder), **given}
            pid = stack.enter_context(running(command, port, **given))
            started[name] = f"http://127.0.0.1:{port}/{prefix}", pid

        mine = f"{SHA}/"
        port = free_port()
        start("ours on gunicorn", shipped_gunicorn("bot.wsgi:application", port), port, mine)
        port = free_port()
        start("nothing on gunicorn", shipped_gunicorn("nothing:application", port), port, "")
        granian = free_port()
        command = [sys.executable, "-m", "bot.serve.main"]
        start("ours on Granian", command, granian, mine, PREVIEW_PORT=str(granian))
        port = free_port()
        command = nginx(folder / "ours", our_nginx(data, port, granian))
        start("ours behind nginx", command, port, mine)
        for name, module in (("Flask", "flask_files"), ("WhiteNoise", "whitenoise_files")):
            port = free_port()
            start(name, gunicorn(f"{module}:application", port), port, "")
        port = free_port()
        command = nginx(folder / "alone", ALONE.format(port=port, root=root))
        start("nginx", command, port, "")
        if shutil.which("caddy"):
            port = free_port()
            (folder / "Caddyfile").write_text(CADDY.format(port=port, root=root))
            command = ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter"]
            start("Caddy", [*command, "caddyfile"], port, "")
        else:
            print("Caddy is not installed (apt-get install caddy): left out")
        yield started


def etag_of(url: str) -> dict[str, str]:
    import urllib.request

    with urllib.request.urlopen(url) as answer:
        found: str = answer.headers["ETag"] or ""
        date: str = answer.headers["Last-Modified"] or ""
    return {"If_None_Match": found} if found else {"If_Modified_Since": date}


def measure(
    started: dict[str, tuple[str, int]], rounds: int, seconds: int
) -> dict[str, dict[str, list[tuple[Load, float]]]]:
    """Case → server → its rounds, each with the processor time of a request in µs."""
    conditions = {name: etag_of(f"{url}index.html") for name, (url, _) in started.items()}
    found: dict[str, dict[str, list[tuple[Load, float]]]] = {
        case: {n: [] for n in started} for case in CASES
    }
    for _ in range(rounds):
        for case in CASES:
            for name, (url, pid) in started.items():
                headers = conditions[name] if case == "304" else {}
                path = PATHS.get(case, "index.html")
                before = processor_seconds(pid)
                load = wrk(url + path, seconds=seconds, **headers)
                cost = (processor_seconds(pid) - before) / load.requests * 1e6
                found[case][name].append((load, cost))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    only = {name.strip() for name in given.only.split(",") if name.strip()}
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with servers(Path(name), only) as started:
            found = measure(started, given.rounds, given.seconds)
    rows = []
    for server in started:
        loads = [median([load for load, _ in found[case][server]]) for case in CASES]
        cost = statistics.median(cost for _, cost in found["4 KB HTML"][server])
        refused = sum(load.refused for load in loads)
        cells = [f"{load.rate:,.0f} ({load.p99:.1f})" for load in loads]
        rows.append([server, *cells, f"{cost:.1f}", refused or "none"])
    print("Requests/s (p99 in ms), medians:\n")
    table(["Server", *CASES, "CPU µs of 4 KB", "Failed"], rows)
    print("\nAims, as medians of the ratios within each round:\n")
    aims = []
    for case, ours, least, other in AIMS:
        if ours in started and other in started:
            pairs = list(zip(found[case][ours], found[case][other], strict=True))
            ratio = statistics.median(a.rate / b.rate for (a, _), (b, _) in pairs)
            by_cost = statistics.median(theirs / mine for (_, mine), (_, theirs) in pairs)
            verdict = "met" if ratio >= least else "MISSED"
            cells = [f"≥ {least}", f"{ratio:.2f}", verdict, f"{by_cost:.2f}"]
            aims.append([f"{ours} / {other}", case, *cells])
    table(["Ratio", "Case", "Aim", "Measured", "", "By CPU time"], aims)


if __name__ == "__main__":
    main()
