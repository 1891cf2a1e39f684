"""An upgrade under load: the next version's web and worker take over, and nobody notices.

The next version is this one with a migration more: what an upgrade must cope with is that
the older processes work on with a database that is ahead of them.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.local import supervisor
from bot.models.database import connect
from bot.settings import Settings, load
from tests.journeys.conftest import ROOT, Bot, free_port, wait_for
from tests.servers import Postgres

pytestmark = pytest.mark.journey

_NEXT = '''"""What the next version adds."""

def up(migrator, db):
    db.execute_sql("ALTER TABLE deployments ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
    db.execute_sql("ALTER TABLE builds ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
    db.execute_sql("ALTER TABLE projects ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
    db.execute_sql("ALTER TABLE outbox ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
    db.execute_sql("ALTER TABLE deliveries ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
    db.execute_sql("CREATE TABLE moods (name TEXT PRIMARY KEY)")
'''


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The next version's folder."""
    folder = tmp_path / "newer"
    shutil.copytree(ROOT / "bot", folder / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "bot/models/migrations/0999_moods.py").write_text(_NEXT)
    return folder


@dataclass
class Site:
    """Processes of one bot, of both versions, and who asks them."""

    given: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def settings(self, port: int) -> Settings:
        return load(self.given | {"PORT": str(port)}, None)

    def run(self, version: Path, port: int, *command: str) -> subprocess.Popen[bytes]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
        environ |= self.given | {"PORT": str(port), "PYTHONPATH": str(version)}
        # The installed package is this version's: the folder must win.
        output = Path(self.given["DATA_DIR"]).with_name("output.log").open("ab")
        with output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", *command],
                cwd=version,
                env=environ,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def web(self, version: Path, port: int) -> subprocess.Popen[bytes]:
        process = self.run(
            version, port, "gunicorn", "--config", "python:bot.gunicorn_settings",
            "bot.wsgi:application",
        )  # fmt: skip
        wait_for(lambda: self._is_ready(port, process), "a web process to be ready")
        return process

    def worker(self, version: Path) -> subprocess.Popen[bytes]:
        return self.run(version, 1, "bot", "worker")

    def _is_ready(self, port: int, process: subprocess.Popen[bytes]) -> bool:
        output = Path(self.given["DATA_DIR"]).with_name("output.log")
        assert process.poll() is None, output.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def moods(self) -> int:
        """Rows of a column that the next version's migration added."""
        database = connect(self.settings(1).DATABASE_URL)
        try:
            query = "SELECT COUNT(*) FROM deployments WHERE mood = 'calm'"
            return int(database.execute_sql(query).fetchone()[0])
        finally:
            database.close()

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            process.wait(30)


@contextmanager
def visitors(ports: list[int], path: str) -> Iterator[dict[str, int]]:
    """Visitors of whatever a load balancer has in `ports`, until the block ends."""
    seen: dict[str, int] = {}
    stopping = threading.Event()

    def visit(number: int) -> None:
        for turn in itertools.count(number):
            if stopping.is_set():
                return
            port = ports[turn % len(ports)]
            try:
                url = f"http://127.0.0.1:{port}{path}"
                with urllib.request.urlopen(url, timeout=30) as answer:
                    what = answer.read().decode()
            except OSError as error:
                what = f"{port}: {error}"
            seen[what] = seen.get(what, 0) + 1

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    given = {"DATA_DIR": str(tmp_path / "data"), "DASHBOARD_PORT": "0", "WEB_WORKERS": "1"}
    (tmp_path / "data").mkdir()
    if request.param == "sqlite":
        made = Site(given)
        yield made
        made.stop()
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.fresh_database()
    made = Site(given | {"DATABASE_URL": url})
    yield made
    made.stop()
    server.drop(url)


def test_the_next_version_takes_over_and_nobody_notices(
    site: Site, newer: Path, tmp_path: Path
) -> None:
    old_port, new_port = free_port(), free_port()
    old_web, old_worker = site.web(ROOT, old_port), site.worker(ROOT)
    ports = [old_port]
    shas: list[str] = []

    def deploy(text: str, port: int) -> Bot:
        bot = Bot(site.settings(port), old_web, tmp_path / "output.log")
        folder = tmp_path / "pushed"
        shas.append(bot.push({"index.html": text}, folder, "site", f"branch-{len(shas)}"))
        return bot

    first = deploy("first", old_port)
    first.ready(shas[0])
    with visitors(ports, f"/{shas[0]}/") as seen:
        deploy("before", old_port)
        new_web = site.web(newer, new_port)
        # The database is ahead of the older processes now.
        deploy("to the older one", old_port)
        ports.append(new_port)
        deploy("to the newer one", new_port)
        first.ready(shas[2])
        old_worker.terminate()
        old_worker.wait(30)
        # One that died meanwhile comes back as the older version, too.
        returned = site.worker(ROOT)
        deploy("built by the older one", new_port).ready(shas[-1])
        returned.terminate()
        new_worker = site.worker(newer)
        returned.wait(30)
        ports.remove(old_port)
        old_web.terminate()
        old_web.wait(30)
        last = deploy("last", new_port)
        for sha in shas:
            last.ready(sha)
    assert list(seen) == ["first"], seen
    assert seen["first"] > 20
    assert new_web.poll() is None
    assert new_worker.poll() is None
    assert not supervisor.is_running(site.settings(old_port))
    assert site.moods() == len(shas)
    texts = ["first", "before", "to the older one", "to the newer one"]
    assert [last.get(f"/{sha}/").text for sha in shas] == [
        *texts, "built by the older one", "last",
    ]  # fmt: skip


def test_the_older_version_takes_pushes_after_the_database_went_ahead(
    site: Site, newer: Path, tmp_path: Path
) -> None:
    """Rolling the upgrade back: the older version starts on the newer schema."""
    port = free_port()
    migrated = site.run(newer, port, "bot", "migrate")
    assert migrated.wait(60) == 0
    site.web(ROOT, port)
    site.worker(ROOT)
    bot = Bot(site.settings(port), migrated, tmp_path / "output.log")
    sha = bot.push({"index.html": "rolled back"}, tmp_path / "pushed")
    bot.ready(sha)
    assert bot.get(f"/{sha}/").text == "rolled back"
    assert site.moods() == 1
