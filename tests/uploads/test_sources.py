from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from bot.errors import SystemFault, UserError
from bot.models import uploads
from bot.models.database import Database
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.uploads.sources import FilesSource, RemoteSource, Sources
from tests.builders.conftest import ListLog
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
