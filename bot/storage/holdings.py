"""What deployments hold of a store: every content once, and what would go with one of them.

It counts; it is not in charge of deleting (`bot.storage.collect`) nor of which are to go.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bot.storage.manifest import Manifest
from bot.storage.store import NotPublished, Store

_READERS = 8
_AT_ONCE = 64  # manifests in memory


class Holdings:
    """Contents that deployments refer to, as of the last `look`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._versions: dict[str, str] = {}
        # A store may hold a million contents: digests as bytes, and further references apart.
        self._sizes: dict[bytes, int] = {}
        self._shared: dict[bytes, int] = {}
        self._left_out: dict[str, str] = {}
        self.size = 0  # bytes of all of them

    def look(self) -> None:
        """Count the deployments whose manifest is new since the last look.

        What an earlier version of it alone referred to still counts: too much is kept
        rather than too little, until somebody looks anew.
        """
        new = [
            (id_, version)
            for id_, version, _ in self._store.deployments()
            if version not in (self._versions.get(id_), self._left_out.get(id_))
        ]
        # A store that is far away takes its time for each.
        with ThreadPoolExecutor(_READERS, "manifests") as readers:
            for start in range(0, len(new), _AT_ONCE):
                some = new[start : start + _AT_ONCE]
                read = readers.map(self._contents_of, [id_ for id_, _ in some])
                for (id_, version), contents in zip(some, read, strict=True):
                    if contents is not None:
                        self._versions[id_] = version
                        self._count(contents)

    def _count(self, contents: dict[bytes, int]) -> None:
        for digest, size in contents.items():
            if digest in self._sizes:
                self._shared[digest] = self._shared.get(digest, 0) + 1
            else:
                self._sizes[digest] = size
                self.size += size

    def _contents_of(self, deployment_id: str) -> dict[bytes, int] | None:
        """`None`: it was deleted meanwhile."""
        try:
            manifest = self._store.manifest(deployment_id)
        except NotPublished:
            return None
        return _contents(manifest)

    def needs(self, digest: str) -> bool:
        return bytes.fromhex(digest) in self._sizes

    def leave_out(self, deployment_id: str) -> int:
        """Count as if a deployment were gone; the bytes that nobody holds then.

        For plans alone: whoever deletes contents has to look at what really is there.
        """
        version = self._versions.pop(deployment_id, None)
        if version is None:
            return 0
        self._left_out[deployment_id] = version
        freed = 0
        for digest in self._contents_of(deployment_id) or ():
            others = self._shared.get(digest, 0)
            if others > 1:
                self._shared[digest] = others - 1
            elif others:
                del self._shared[digest]
            else:
                freed += self._sizes.pop(digest, 0)
        self.size -= freed
        return freed


def _contents(manifest: Manifest) -> dict[bytes, int]:
    found = {}
    for entry in manifest.files.values():
        found[bytes.fromhex(entry.digest)] = entry.size
        for variant in entry.variants:
            found[bytes.fromhex(variant.digest)] = variant.size
    return found
