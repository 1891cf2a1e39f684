"""A copy of everything that cannot be made again, in one folder, and back from there.

    backup.json     when, by which version, and what there is
    database.*      the database at one moment
    store/          contents by digest and manifests, as a store on a disk has them
    data/           secrets that were made in DATA_DIR, build logs, uploads that wait

Whatever the bot runs on, the folder is the same: a copy of an S3 store may be restored to a
disk. What a machine makes again (mirrors, caches, toolchains) is left out.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bot import __version__
from bot.errors import UserError
from bot.local import database_copy
from bot.models import deployments, usage
from bot.models.access import must_be_asked
from bot.models.database import connect
from bot.models.tables import Project
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.store import NotPublished, Store
from bot.storage.urls import open_store

_ABOUT = "backup.json"
_CHUNK = 1 << 20
# Below DATA_DIR, and made again by whoever needs them.
_AGAIN = frozenset(
    {"caches", "histories", "metrics", "mirrors", "store-cache", "toolchains", "work"}
    | {"background.log", "background.pid"}
)


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds. `size` and `new` in bytes; `new` was not there before."""

    deployments: int
    contents: int
    size: int
    new: int
    missing: tuple[str, ...] = ()  # published, says the database; the store has it no more


def back_up(settings: Settings, folder: Path) -> Copied:
    """Copy what `settings` lead to into `folder`, while the bot runs.

    A second time into the same folder copies only what is new. Raises `UserError`, `SystemFault`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # it has the secrets
    about = folder / _ABOUT
    about.unlink(missing_ok=True)  # it is not whole now
    # First the database: a deployment that the store alone knows of harms nothing.
    database_copy.dump(settings.DATABASE_URL, folder)
    copied = copy_deployments(open_store(settings), DiskStore(folder / "store"))
    for source in _kept(settings):
        _copy(source, folder / "data" / source.name)
    facts = {"version": __version__, "made_at": int(time.time()), **asdict(copied)}
    about.write_text(json.dumps(facts, indent=2))
    return copied


def restore(settings: Settings, folder: Path) -> Copied:
    """Bring back what `back_up` copied, to the empty database and the store of `settings`.

    What is in the way in DATA_DIR is set aside as `….before-restore`. Raises `UserError` where
    it is no whole backup, or there is something in the database.
    """
    if not (folder / _ABOUT).is_file():
        raise UserError(
            "backup-incomplete",
            f"There is no {_ABOUT} in {folder}: it is no backup, or not a whole one.",
            "`deploystack backup` writes that file last.",
        )
    data = folder / "data"
    database_copy.load(settings.DATABASE_URL, folder)
    for source in sorted(data.iterdir()) if data.is_dir() else ():
        _set_aside(source, settings.DATA_DIR / source.name)
        _copy(source, settings.DATA_DIR / source.name)
    store = open_store(settings)
    copied = copy_deployments(DiskStore(folder / "store"), store)
    database = connect(settings.DATABASE_URL)
    _lay_out(store)
    there = {deployment_id for deployment_id, _, _ in store.deployments()}
    missing = tuple(sorted(usage.published_deployments() - there))
    database.close()
    return Copied(copied.deployments, copied.contents, copied.size, copied.new, missing)


def copy_deployments(source: Store, target: Store) -> Copied:
    """Publish in `target` what `source` has, and take away what it has no more."""
    there = {deployment_id for deployment_id, _, _ in target.deployments()}
    seen: set[str] = set()
    published = size = new = 0
    for deployment_id, _, _ in source.deployments():
        try:
            manifest = source.manifest(deployment_id)
            wanted = [digest for digest in set(manifest.digests()) if digest not in seen]
            lacking = set(target.missing(wanted))
            with target.batch():
                for digest in lacking:
                    new += _carry(source, target, digest)
            target.publish(manifest)
        except (NotPublished, FileNotFoundError):  # deleted meanwhile
            continue
        seen.update(wanted)
        size += sum(target.size(digest) or 0 for digest in wanted)
        published += 1
        there.discard(deployment_id)
    for deployment_id in there:
        target.delete(deployment_id)
    return Copied(published, len(seen), size, new)


def _lay_out(store: Store) -> None:
    """Let front servers answer for what they may answer for."""
    for project in Project.select(Project.id):
        if must_be_asked(project.id):
            continue
        for deployment_id in deployments.live(project.id):
            with contextlib.suppress(NotPublished):
                store.lay_out(store.manifest(deployment_id))


def _carry(source: Store, target: Store, digest: str) -> int:
    with source.open(digest) as file:
        _, size = target.put_bytes(iter(lambda: file.read(_CHUNK), b""))
    return size


def _kept(settings: Settings) -> Iterator[Path]:
    """What lies in DATA_DIR and is neither database nor store nor made again."""
    urls = map(urlsplit, (settings.DATABASE_URL, settings.QUEUE_URL, settings.STORAGE_URL))
    # With their journals and locks, whose names begin with theirs.
    aside = tuple(url.path for url in urls if url.scheme in {"sqlite", "file"})
    for path in sorted(settings.DATA_DIR.iterdir()):
        if path.name in _AGAIN or path == settings.WORK_DIR or str(path).startswith(aside):
            continue
        yield path


def _copy(source: Path, target: Path) -> None:
    """A copy with the same modes; what is there already of the same size and time stays."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copystat(source, target)
        for path in source.iterdir():
            if not path.is_symlink():
                _copy(path, target / path.name)
        return
    try:
        about = source.stat()
        if not source.is_file():  # a socket
            return
        if target.is_file():
            old = target.stat()
            if (old.st_size, old.st_mtime_ns) == (about.st_size, about.st_mtime_ns):
                return
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.part")
        draft.unlink(missing_ok=True)
        shutil.copy2(source, draft)
        draft.replace(target)
    except FileNotFoundError:  # removed meanwhile
        return


def _set_aside(source: Path, target: Path) -> None:
    """Keep what lies where something else is to be, such as a secret made a moment ago."""
    if target.is_file() and source.is_file() and target.read_bytes() != source.read_bytes():
        target.replace(target.with_name(f"{target.name}.before-restore"))
