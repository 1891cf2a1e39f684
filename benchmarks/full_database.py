"""Requests against a database of 10,000 deployments and 1,000,000 files, and an empty one.

    python -m benchmarks.full_database [--deployments 10000] [--files 100] [--rounds 60]
        [--database postgresql://…]

One site is pushed to a running bot, and lists, pages and previews are asked for. Then the
database is filled with the rows that years of other deployments leave behind, and the same
is asked again. Both run the same processes; what counts is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks.bots import running_bot
from benchmarks.programs import free_port, table
from bot.local import push
from bot.models import sql
from bot.models.database import connect
from bot.models.ids import new_id, now
from bot.settings import Settings

_DAY = 24 * 3600 * 1000  # ms
_PROJECTS = 200


class Client:
    """One connection that is kept, as a reverse proxy's are."""

    def __init__(self, settings: Settings, token: str) -> None:
        self._host = urlsplit(settings.DASHBOARD_URL).netloc
        self._connections = {
            False: http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=60),
            True: http.client.HTTPConnection("127.0.0.1", settings.DASHBOARD_PORT, timeout=60),
        }
        self._token = {"Authorization": f"Bearer {token}"}
        self._cookie = self._sign_in(settings, token)

    def get(self, path: str) -> bytes:
        """`path` begins with `dashboard:` where it is one of that origin."""
        dashboard = path.startswith("dashboard:")
        headers = {"Host": self._host, "Cookie": self._cookie} if dashboard else self._token
        connection = self._connections[dashboard]
        connection.request("GET", path.removeprefix("dashboard:"), headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}: {body[:300]!r}")
        return body

    def median_of(self, path: str, rounds: int) -> float:
        """Milliseconds."""
        self.get(path)
        taken = []
        for _ in range(rounds):
            started = time.perf_counter()
            self.get(path)
            taken.append((time.perf_counter() - started) * 1000)
        return statistics.median(taken)

    def _sign_in(self, settings: Settings, token: str) -> str:
        headers = {
            "Host": self._host,
            "Origin": settings.DASHBOARD_URL,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self._connections[True].request("POST", "/sign-in", urlencode({"token": token}), headers)
        answer = self._connections[True].getresponse()
        answer.read()
        return (answer.headers["Set-Cookie"] or "").partition(";")[0]


def deploy(settings: Settings, client: Client, folder: Path) -> str:
    """Push a page to the project that both halves look at; answers the commit."""
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text("<h1>Looked at</h1>")
    with push.commit_folder(folder, "A page") as source:
        pushed = push.push(source, "HEAD", settings, "looked-at", "main")
    push.send(settings, f"http://127.0.0.1:{settings.PORT}", "push", push.payload(pushed))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = json.loads(client.get(f"/api/v1/builds?sha={pushed.after}"))["data"]
        if found and found[0]["status"] == "ready":
            return pushed.after
        time.sleep(0.1)
    raise SystemExit(f"the page was not built: {found}")


def paths(client: Client, sha: str) -> dict[str, str]:
    """What is asked for."""
    deployment = json.loads(client.get(f"/api/v1/deployments?sha={sha}"))["data"][0]
    build = json.loads(client.get(f"/api/v1/builds?sha={sha}"))["data"][0]["id"]
    id_, project = deployment["id"], deployment["project_id"]
    of_api = (
        "projects",
        f"projects/{project}",
        f"projects/{project}/aliases",
        "deployments",
        f"deployments?project_id={project}",
        f"deployments?sha={sha}",
        "deployments?status=ready",
        "deployments?status=failed",
        f"deployments?project_id={project}&ref=main",
        "deployments?environment=production",
        f"deployments/{id_}",
        f"deployments/{id_}/files",
        "builds",
        f"builds?project_id={project}",
        "builds?status=ready",
        "builds?status=failed",
        f"builds/{build}",
        "audit",
        f"audit?project_id={project}",
        "audit?actor=admin",
        "tokens",
    )
    own = {
        "preview": f"/{sha}/",
        "preview by alias": "/~/local-looked-at/production/",
        "build's page": f"/builds/{build}",
        "/readyz": "/readyz",
        "dashboard": "dashboard:/",
        "dashboard, project": f"dashboard:/projects/{project}",
        "dashboard, deployment": f"dashboard:/projects/{project}/deployments/{id_}",
    }
    hidden = {str(project): "{id}", id_: "{id}", build: "{id}", sha: "{sha}"}
    for path in of_api:
        shown = path
        for value, name in hidden.items():
            shown = re.sub(rf"\b{value}\b", name, shown)
        own[f"GET {shown}"] = f"/api/v1/{path}"
    return own


def of_largest(client: Client) -> dict[str, str]:
    """The same of the project that has a tenth of all deployments."""
    found = json.loads(client.get("/api/v1/projects?name=octo/project-0"))["data"]
    project = found[0]["id"]
    return {
        "dashboard, project, the largest": f"dashboard:/projects/{project}",
        "GET projects/{id}, the largest": f"/api/v1/projects/{project}",
        "GET projects/{id}/aliases, the largest": f"/api/v1/projects/{project}/aliases",
        "GET deployments?project_id={id}, the largest": (
            f"/api/v1/deployments?project_id={project}"
        ),
        "GET builds?project_id={id}, the largest": f"/api/v1/builds?project_id={project}",
    }


def fill(database: Any, deployments: int, files: int) -> None:
    """Rows that nobody will ask for, as the bot would have written them."""
    moment = now()
    names = [f"octo/project-{number}" for number in range(_PROJECTS)]
    with database.write():
        _insert(
            database,
            "INSERT INTO projects (name, production_branch, private, state, toolbar, "
            "build_on_visit, created_at, updated_at) VALUES (?, 'main', ?, 'active', ?, ?, ?, ?)",
            [(name, False, False, False, moment, moment) for name in names],
        )
        found = sql.rows("SELECT id FROM projects WHERE name LIKE 'octo/project-%'")
        projects = [row[0] for row in found]
    # A tenth of all belong to one project, as in real life.
    of = [projects[0] if n % 10 == 0 else projects[n % _PROJECTS] for n in range(deployments)]
    ids = [new_id("dpl") for _ in range(deployments)]
    ages = [moment - (deployments - n) * _DAY // 100 for n in range(deployments)]
    rows: Iterable[tuple[Any, ...]]
    for statement, rows in (
        (
            "INSERT INTO deployments (id, project_id, sha, ref, source, environment, trusted, "
            "status, created_at, updated_at) VALUES (?, ?, ?, ?, 'push', ?, ?, 'ready', ?, ?)",
            (
                (ids[n], of[n], f"{n:040x}", f"topic-{n % 50}",
                 "preview" if n % 5 else "production", True, ages[n], ages[n])
                for n in range(deployments)
            ),
        ),
        (
            "INSERT INTO builds (id, deployment_id, project_id, status, logs, framework, stages, "
            "error_code, error_message, attempts, worker, delivery, created_at, started_at, "
            "completed_at, lease_until) "
            "VALUES (?, ?, ?, 'ready', '', 'Vite', '{}', '', '', 1, '', '', ?, ?, ?, 0)",
            (
                (new_id("bld"), ids[n], of[n], ages[n], ages[n] + 100, ages[n] + 9000)
                for n in range(deployments)
            ),
        ),
        (
            "INSERT INTO files (deployment_id, path, size, mime_type, digest) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                (id_, f"assets/chunk-{number}.js", 2000 + number, "text/javascript",
                 f"{n * files + number:064x}")
                for n, id_ in enumerate(ids) for number in range(files)
            ),
        ),
        (
            "INSERT INTO traffic (deployment_id, hour, status, requests, size) "
            "VALUES (?, ?, 2, 9, 9)",
            ((id_, ages[n] // 3_600_000 + hour) for n, id_ in enumerate(ids) for hour in range(5)),
        ),
        (
            "INSERT INTO aliases (project_id, kind, name, address, deployment_id, updated_at) "
            "VALUES (?, 'branch', ?, ?, ?, ?)",
            (
                (of[n], f"topic-{n}", f"topic-{n}--project-{of[n]}", ids[n], ages[n])
                for n in range(0, deployments, 4)
            ),
        ),
        (
            "INSERT INTO audit (at, actor, action, subject, project, details) "
            "VALUES (?, 'admin', 'deployment.promote', ?, ?, '{}')",
            ((ages[n], ids[n], names[n % _PROJECTS]) for n in range(deployments)),
        ),
        (
            "INSERT INTO deliveries (guid, event, digest, outcome, reason, attempts, data, "
            "received_at) VALUES (?, 'push', '', 'accepted', '', 0, '', ?)",
            ((f"guid-{n}", ages[n]) for n in range(deployments)),
        ),
        (
            "INSERT INTO outbox (project_id, kind, key, payload, state, attempts, due_at, "
            "lease_until, last_error, created_at, completed_at) "
            "VALUES (?, 'status', ?, '{}', 'done', 1, ?, 0, '', ?, ?)",
            (
                (of[n], f"{ids[n]}-{part}", ages[n], ages[n], ages[n])
                for n in range(deployments) for part in range(2)
            ),
        ),
    ):  # fmt: skip
        for some in _portions(rows):
            with database.write(durable=False):
                _insert(database, statement, some)
    database.execute_sql("ANALYZE")


def _insert(database: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    cursor = database.connection().cursor()
    cursor.executemany(statement.replace("?", database.param), rows)


def _portions(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    given = iter(rows)
    while some := list(islice(given, 20_000)):
        yield some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=100, help="of each deployment")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--database", default="", help="an empty database; default: SQLite")
    options = parser.parse_args()
    given = {"DATABASE_URL": options.database} if options.database else {}
    # All of it comes from one address.
    given |= {"DASHBOARD_PORT": str(free_port()), "RATE_LIMIT": "0", "ADDRESS_RATE_LIMIT": "0"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_bot(folder, **given) as settings:
            token = (settings.DATA_DIR / "admin-token").read_text().strip()
            client = Client(settings, token)
            asked = paths(client, deploy(settings, client, folder / "site"))
            empty = {name: client.median_of(asked[name], options.rounds) for name in asked}
        started = time.monotonic()
        database = connect(settings.DATABASE_URL)
        fill(database, options.deployments, options.files)
        database.close()
        print(f"filled in {time.monotonic() - started:.0f} s")
        with running_bot(folder, **given) as settings:
            client = Client(settings, token)
            full = {name: client.median_of(asked[name], options.rounds) for name in asked}
            for what, path in of_largest(client).items():
                full[what] = client.median_of(path, options.rounds)
                # What the project with one deployment took while there was no other.
                empty[what] = empty[what.removesuffix(", the largest")]
    rows = [
        (what, f"{empty[what]:.2f}", f"{full[what]:.2f}", f"{full[what] / empty[what]:.2f}")
        for what in full
    ]
    table(("request", "empty ms", "full ms", "ratio"), rows)
    worst = max(full[what] / empty[what] for what in full)
    print(f"worst ratio {worst:.2f} (aim: 2)")


if __name__ == "__main__":
    main()
