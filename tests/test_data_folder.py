"""Others on the machine see nothing of DATA_DIR but what front servers serve."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.app import assemble
from bot.data_folder import prepare
from bot.queues import open_queue
from bot.settings import Settings


def readable_by_others(folder: Path) -> set[str]:
    """What they could list or read, were its folders open to them: paths to the top ones."""
    found = set()
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place) / name
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode & 0o077 and not path.is_symlink():
                found.add(path.relative_to(folder).parts[0])
        folders[:] = [f for f in folders if (Path(place) / f).stat().st_mode & 0o011]
    return found


def test_a_new_folder_shows_others_only_what_is_published(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    folder = tmp_path / "new/data"
    settings = make_settings(
        DATA_DIR=str(folder),
        DATABASE_URL=f"sqlite:///{folder}/deploystack.db",
        QUEUE_URL=f"sqlite:///{folder}/queue.db",
        STORAGE_URL=f"file://{folder}/artifacts",
    )
    before = os.umask(0o022)
    try:
        parts = assemble(settings)
        open_queue(settings.QUEUE_URL, "builds").pending_count()
        parts.database.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert readable_by_others(folder) - {"deploystack.db.migrating"} == {"artifacts"}
    assert (folder / "artifacts/sites").stat().st_mode & 0o005 == 0o005


def test_a_mode_that_somebody_chose_is_kept(tmp_path: Path) -> None:
    for mode in (0o700, 0o750):
        tmp_path.chmod(mode)
        prepare(tmp_path)
        assert stat.S_IMODE(tmp_path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_somebody_else_can_pass_through_and_list_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    data = tmp_path / "data"
    prepare(data)
    (data / "artifacts").mkdir()
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            os.listdir(data / "artifacts")
            os.listdir(data)
        except PermissionError as error:
            os._exit(0 if error.filename == str(data) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
