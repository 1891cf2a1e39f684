"""Folders of builds: each its own, and none left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.builders.work_folder import WorkFolders, remove_folder
from bot.errors import SystemFault


def test_a_folder_is_empty_at_first_and_gone_in_the_end(tmp_path: Path) -> None:
    folders = WorkFolders(tmp_path / "work")
    for _ in range(2):
        with folders.open("bld_1") as folder:
            assert [path.name for path in folder.iterdir()] == ["lock"]
            (folder / "file").touch()
        folders.settle()
        assert os.listdir(tmp_path / "work") == []


def test_a_folder_is_gone_when_its_build_failed_too(tmp_path: Path) -> None:
    folders = WorkFolders(tmp_path / "work")
    with pytest.raises(KeyError), folders.open("bld_1"):
        raise KeyError
    folders.settle()
    assert os.listdir(tmp_path / "work") == []


def test_what_a_killed_worker_left_is_removed_and_a_running_builds_folder_is_not(
    tmp_path: Path,
) -> None:
    folders = WorkFolders(tmp_path / "work")
    left = tmp_path / "work" / "bld_left"
    left.mkdir(parents=True)
    (left / "lock").touch()
    (tmp_path / "work" / "bld_2.abcd.gone").mkdir()
    just_made = tmp_path / "work" / "bld_new"
    just_made.mkdir()
    long_without_lock = tmp_path / "work" / "bld_old"
    long_without_lock.mkdir()
    os.utime(long_without_lock, (0, 0))
    with folders.open("bld_1") as folder:
        folders.tidy()
        assert sorted(os.listdir(tmp_path / "work")) == [folder.name, "bld_new"]
        assert folder.is_dir()


def test_a_place_that_cannot_be_used_is_a_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemFault) as raised, WorkFolders(tmp_path / "file").open("bld_1"):
        pass
    assert raised.value.code == "work-folder"


def test_removing_a_folder_never_follows_its_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "work").mkdir()
    (tmp_path / "work/link").symlink_to(tmp_path / "kept")
    remove_folder(tmp_path / "work")
    assert (tmp_path / "kept/file").exists()
    assert not (tmp_path / "work").exists()
