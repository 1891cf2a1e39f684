"""What is kept between builds, and who may read, write and throw it away."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bot.builders.cache import Caches, CacheScope, plain_folder

TRUSTED = CacheScope(project="owner/name", trusted=True)
FORK = CacheScope(project="owner/name", trusted=False)
OTHER = CacheScope(project="owner/other", trusted=True)


@pytest.fixture
def caches(tmp_path: Path) -> Caches:
    return Caches(tmp_path / "caches", size=1 << 20)


@pytest.fixture
def make_folder(tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(text: str, size: int = 0) -> Path:
        folder = tmp_path / f"made-{os.urandom(4).hex()}"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text(text)
        if size:
            (folder / "big").write_bytes(b"x" * size)
        return folder

    return make


def read(caches: Caches, scope: CacheScope, key: str = "key") -> str | None:
    with caches.borrow("modules", scope, key) as entry:
        return None if entry is None else (entry / "deep" / "file").read_text()


def test_what_is_put_is_lent_to_its_scope_alone(caches: Caches, make_folder) -> None:
    made = make_folder("kept")
    caches.put("modules", TRUSTED, "key", made)
    assert not made.exists()
    assert read(caches, TRUSTED) == "kept"
    assert read(caches, OTHER) is None
    assert read(caches, TRUSTED, "another") is None


def test_a_fork_reads_what_trusted_builds_kept_and_never_writes_there(
    caches: Caches, make_folder
) -> None:
    caches.put("modules", TRUSTED, "key", make_folder("trusted"))
    assert read(caches, FORK) == "trusted"
    caches.put("modules", FORK, "key", make_folder("poisoned"), replace=True)
    caches.put("modules", FORK, "new", make_folder("poisoned"))
    assert read(caches, FORK) == "poisoned"
    assert read(caches, TRUSTED) == "trusted"
    assert read(caches, TRUSTED, "new") is None


def test_a_fork_takes_a_copy_of_what_trusted_builds_kept(
    caches: Caches, make_folder, tmp_path: Path
) -> None:
    caches.put("modules", TRUSTED, "key", make_folder("trusted"))
    assert caches.take("modules", FORK, "key", tmp_path / "taken")
    (tmp_path / "taken" / "deep" / "file").write_text("poisoned")
    assert read(caches, TRUSTED) == "trusted"


def test_taking_moves_out_and_putting_back_moves_in(
    caches: Caches, make_folder, tmp_path: Path
) -> None:
    caches.put("modules", TRUSTED, "key", make_folder("kept"))
    assert caches.take("modules", TRUSTED, "key", tmp_path / "taken")
    assert read(caches, TRUSTED) is None
    assert not caches.take("modules", TRUSTED, "key", tmp_path / "again")
    caches.put("modules", TRUSTED, "key", tmp_path / "taken", replace=True)
    assert read(caches, TRUSTED) == "kept"


def test_an_entry_stays_the_first_unless_it_is_to_be_replaced(caches: Caches, make_folder) -> None:
    caches.put("modules", TRUSTED, "key", make_folder("first"))
    caches.put("modules", TRUSTED, "key", make_folder("second"))
    assert read(caches, TRUSTED) == "first"
    caches.put("modules", TRUSTED, "key", make_folder("third"), replace=True)
    assert read(caches, TRUSTED) == "third"


def test_what_was_used_least_recently_is_thrown_away_first(caches: Caches, make_folder) -> None:
    for key in ("old", "used", "new"):
        caches.put("modules", TRUSTED, key, make_folder(key, size=450_000))
    for age, key in ((300, "old"), (200, "used"), (100, "new")):
        set_age(caches, key, age)
    assert read(caches, TRUSTED, "old") == "old"
    assert caches.trim() > 0
    assert read(caches, TRUSTED, "used") is None
    assert (read(caches, TRUSTED, "old"), read(caches, TRUSTED, "new")) == ("old", "new")


def set_age(caches: Caches, key: str, seconds: int) -> None:
    path = caches._root / "modules" / TRUSTED.own / f"{key}.lock"
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def test_what_is_lent_is_never_thrown_away_or_taken(
    caches: Caches, make_folder, tmp_path: Path
) -> None:
    caches.put("modules", TRUSTED, "key", make_folder("lent", size=3 << 20))
    with caches.borrow("modules", TRUSTED, "key") as entry:
        assert entry is not None
        assert caches.trim() == 0
        caches.forget(TRUSTED)
        assert not caches.take("modules", TRUSTED, "key", tmp_path / "taken")
        assert (entry / "deep" / "file").read_text() == "lent"
    assert caches.trim() > 0
    assert read(caches, TRUSTED) is None


def test_folders_that_builds_go_on_filling_count_as_they_are(caches: Caches) -> None:
    folder = caches.folder("downloads", TRUSTED, "npm")
    (folder / "tarball").write_bytes(b"x" * (2 << 20))
    assert caches.trim() >= 2 << 20
    assert not folder.exists()


def test_forgetting_a_scope_leaves_others_alone(caches: Caches, make_folder) -> None:
    caches.put("modules", TRUSTED, "key", make_folder("mine"))
    caches.put("modules", OTHER, "key", make_folder("theirs"))
    caches.forget(TRUSTED)
    assert (read(caches, TRUSTED), read(caches, OTHER)) == (None, "theirs")


def test_many_builds_put_and_borrow_one_key_at_a_time(caches: Caches, make_folder) -> None:
    wrong: list[object] = []

    def work() -> None:
        for _ in range(20):
            caches.put("modules", TRUSTED, "key", make_folder("same"), replace=True)
            with caches.borrow("modules", TRUSTED, "key") as entry:
                if entry is not None and (entry / "deep" / "file").read_text() != "same":
                    wrong.append(entry)

    def safely() -> None:
        try:
            work()
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=safely) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert read(caches, TRUSTED) == "same"
    assert list((caches._root / "drafts").iterdir()) == []


def test_a_folder_whose_rights_a_build_took_away_is_thrown_away_too(
    caches: Caches, make_folder
) -> None:
    made = make_folder("closed")
    (made / "deep").chmod(0)
    caches.put("modules", TRUSTED, "key", made)
    caches.forget(TRUSTED)
    assert read(caches, TRUSTED) is None
    assert list((caches._root / "drafts").iterdir()) == []


@pytest.mark.parametrize(
    ("relative", "plain"),
    [
        *(("a/b", True), (".", True), ("a/link", False), ("link/b", False), ("../x", False)),
        *(("missing", False), ("a/file", False)),
    ],
)
def test_only_real_folders_all_the_way_are_plain(
    tmp_path: Path, relative: str, plain: bool
) -> None:
    base = tmp_path / "base"
    (base / "a" / "b").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    (base / "a" / "file").touch()
    (base / "a" / "link").symlink_to(tmp_path)
    (base / "link").symlink_to("a")
    assert (plain_folder(base, relative) is not None) is plain
