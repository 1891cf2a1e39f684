from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import SystemFault, UserError
from bot.models import uploads
from bot.models.database import Database
from bot.settings import Settings
from bot.storage.collect import collect
from bot.storage.disk import DiskStore
from bot.storage.store import Store
from bot.storage.urls import open_store
from bot.uploads.sources import FilesSource, RemoteSource, Sources
from tests.builders.conftest import ListLog
from tests.storage.s3_server import S3Server
from tests.uploads.archives import PAGE, zip_of


@pytest.fixture
def store(settings: Settings) -> DiskStore:
    return DiskStore(settings.DATA_DIR / "artifacts")


@pytest.fixture
def sources(settings: Settings, store: DiskStore) -> Sources:
    return Sources(settings, store)


def given(sources: Sources) -> tuple[Path, Path]:
    """An archive and its tree, as they are after an upload was looked at."""
    draft = sources.root / ".incoming-x"
    (draft / "tree").mkdir(parents=True)
    (draft / "archive").write_bytes(zip_of({"index.html": PAGE}))
    (draft / "tree/index.html").write_bytes(PAGE)
    return draft / "archive", draft / "tree"


def lay_out(sources: Sources, deployment_id: str, target: Path) -> dict[str, bytes]:
    sources.lay_out(deployment_id, target, ListLog(), threading.Event())
    return {path.name: path.read_bytes() for path in target.iterdir()}


def test_the_tree_of_an_archive_is_taken_once_and_unpacked_from_then_on(
    sources: Sources, tmp_path: Path
) -> None:
    sources.keep_archive("dpl-1", *given(sources), promised=True)
    for number in range(3):
        assert lay_out(sources, "dpl-1", tmp_path / str(number)) == {"index.html": PAGE}


def test_files_of_the_store_are_copied_so_that_a_build_may_write_to_them(
    sources: Sources, store: DiskStore, tmp_path: Path
) -> None:
    digest, _ = store.put_bytes([PAGE])
    sources.keep("dpl-1", FilesSource({"index.html": digest}))
    lay_out(sources, "dpl-1", tmp_path / "tree")
    (tmp_path / "tree/index.html").write_bytes(b"changed")
    with store.open(digest) as content:
        assert content.read() == PAGE


@pytest.fixture
def machines(
    s3_server: S3Server,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Sources, Sources, Store]:
    """The sources of two machines that share a bucket and no disk, and their store."""
    environ = s3_server.environ(f"sources-{os.urandom(4).hex()}")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    made = []
    for name in ("web", "worker"):
        own = make_settings(DATA_DIR=tmp_path / name, STORAGE_URL=environ["STORAGE_URL"])
        made.append(Sources(own, open_store(own)))
    return made[0], made[1], made[1]._store


def test_an_archive_is_built_by_whichever_machine_takes_it_up(
    machines: tuple[Sources, Sources, Store], tmp_path: Path
) -> None:
    web, worker, _ = machines
    web.keep_archive("dpl-1", *given(web), promised=True)
    source = worker.read("dpl-1")
    assert worker.digest("dpl-1", source) == web.digest("dpl-1", source)
    for number in range(2):
        assert lay_out(worker, "dpl-1", tmp_path / str(number)) == {"index.html": PAGE}
    assert list(worker.root.iterdir()) == []
    # The machine that took it in has its tree already.
    assert lay_out(web, "dpl-1", tmp_path / "own") == {"index.html": PAGE}


def test_addresses_and_lists_are_shared_too_until_they_are_forgotten(
    machines: tuple[Sources, Sources, Store], tmp_path: Path
) -> None:
    web, worker, store = machines
    digest, _ = store.put_bytes([PAGE])
    remote, files = RemoteSource("https://github.com/o/r", "main"), FilesSource({"a": digest})
    for number, source in enumerate((remote, files)):
        web.keep(f"dpl-{number}", source)
        assert worker.read(f"dpl-{number}") == source
    assert lay_out(worker, "dpl-1", tmp_path / "tree") == {"a": PAGE}
    worker.forget("dpl-1")
    with pytest.raises(UserError, match="no longer kept"):
        worker.read("dpl-1")


def test_a_shared_archive_is_not_swept(machines: tuple[Sources, Sources, Store]) -> None:
    web, worker, store = machines
    web.keep_archive("dpl-1", *given(web), promised=True)
    assert collect(store, least_age=-1).contents == 0
    worker.forget("dpl-1")
    assert collect(store, least_age=-1).contents == 1


def test_what_needs_no_build_is_not_shared(
    machines: tuple[Sources, Sources, Store],
) -> None:
    web, worker, store = machines
    web.keep_archive("dpl-1", *given(web), promised=False)
    assert list(store.deployments()) == []
    with pytest.raises(UserError, match="no longer kept"):
        worker.read("dpl-1")


def test_a_source_that_is_gone_is_said_to_be(sources: Sources) -> None:
    sources.keep("dpl-1", RemoteSource("https://github.com/a/b", "main"))
    assert sources.read("dpl-1") == RemoteSource("https://github.com/a/b", "main")
    sources.forget("dpl-1")
    with pytest.raises(UserError) as caught:
        sources.read("dpl-1")
    assert caught.value.code == "source-gone"


def test_an_archive_that_cannot_be_kept_leaves_nothing(sources: Sources) -> None:
    archive, tree = given(sources)
    tree.rename(tree.with_name("elsewhere"))
    with pytest.raises(SystemFault):
        sources.keep_archive("dpl-1", archive, tree, promised=True)
    assert os.listdir(sources.root) == [".incoming-x"]


def test_what_killed_processes_left_is_removed_after_a_day(
    sources: Sources, database: Database
) -> None:
    with database.write():
        project = uploads.project_for("site")
        for deployment_id in ("dpl-known", "dpl-young"):
            uploads.request(
                deployment_id, project.id, source="upload", ref="", environment="preview"
            )
    for name in (".incoming-old", ".incoming-young", "dpl-known", "dpl-unknown", "dpl-young"):
        folder = sources.root / name
        folder.mkdir(parents=True)
        if "young" not in name:
            os.utime(folder, (time.time() - 90_000,) * 2)
    sources.tidy()
    assert sorted(os.listdir(sources.root)) == [".incoming-young", "dpl-known", "dpl-young"]
