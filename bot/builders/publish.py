"""From files to a manifest: every content is stored once, and unchanged ones not read again.

It is not in charge of what may be published (`output` is), nor of making the
deployment visible (`Store.publish` is).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bot.builders.git_process import ObjectReader
from bot.builders.git_tree import Blob
from bot.builders.job import BuildLog, Job
from bot.builders.leaks import LeakGate
from bot.builders.looking import Looker, looked_at
from bot.builders.plan import Plan
from bot.builders.tree import Tree
from bot.storage.manifest import Entry, Manifest, media_type
from bot.storage.store import NotPublished, Store


def store_folder(
    store: Store,
    files: Iterable[tuple[str, Path]],
    previous: str = "",
    lookers: Sequence[Looker] = (),
) -> dict[str, Entry]:
    """Store the files of an output folder, which are given up to the store.

    `previous` is an earlier deployment that has many of them; empty: none. Raises what one of
    `lookers` raises, who see each file first.
    """
    entries: dict[str, Entry] = {}
    if previous:
        store.expect(previous)
    with store.batch():
        for path, file, known in looked_at(files, lookers):
            digest, size = store.put_file(file, known)
            entries[path] = Entry(digest, size, media_type(path))
    return entries


def store_blobs(
    store: Store,
    reader: ObjectReader,
    files: Mapping[str, Blob],
    known: Mapping[str, Entry],
    gate: LeakGate,
) -> dict[str, Entry]:
    """Store files straight from Git; `known` are entries by blob, which are stored already.

    Raises `UserError` where one that is not has a secret in it.
    """
    stored = {
        blob.object_id: known[blob.object_id] for blob in files.values() if blob.object_id in known
    }
    names = {blob.object_id: path for path, blob in files.items()}
    wanted = sorted({blob.object_id for blob in files.values()} - stored.keys())
    with store.batch():
        for object_id, chunks in zip(wanted, reader.stream(wanted), strict=True):
            read = gate.reading(names[object_id], chunks) if gate else chunks
            digest, size = store.put_bytes(read)
            stored[object_id] = Entry(digest, size, "", object_id)
    return {
        path: Entry(found.digest, found.size, media_type(path), blob.object_id)
        for path, blob in files.items()
        if (found := stored[blob.object_id])
    }


def entries_by_blob(store: Store, deployment_id: str) -> dict[str, Entry]:
    """What an earlier deployment of the same project took from Git as it is."""
    known = entries_of(store, deployment_id)
    return {entry.source: entry for entry in known.values() if entry.source}


def entries_of(store: Store, deployment_id: str) -> Mapping[str, Entry]:
    """What is known of the files of an earlier deployment; nothing, if there is none."""
    try:
        return store.manifest(deployment_id).files if deployment_id else {}
    except NotPublished:
        return {}


def manifest_of(
    job: Job, plan: Plan, files: dict[str, Entry], *, compressed: bool = False
) -> Manifest:
    """The manifest of a deployment whose files are stored; nothing is visible yet.

    `compressed`: its entries have their variants already, as an earlier deployment's have.
    """
    return Manifest(
        deployment=job.deployment_id,
        files=files,
        spa=plan.spa,
        base=job.base_path,
        created_at=int(time.time() * 1000),
        configuration=dict(plan.configuration),
        compressed=compressed,
    )


def warn_of_pointers(tree: Tree, log: BuildLog) -> None:
    """Git LFS keeps pointers in the repository, and the files elsewhere: say so.

    https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    if ".gitattributes" in tree.files and b"filter=lfs" in tree.read(".gitattributes"):
        log.say(
            "Warning: this repository uses Git LFS, which is not fetched. Files kept in LFS "
            "are published as their pointers (small text files)."
        )
