"""From the key in an address to a site, kept in memory.

A published deployment never changes, so what was found once is right for ever;
only keys that could not be served yet are asked for again.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable

from bot.models.resolve import Found
from bot.models.status import DeploymentStatus
from bot.serve.site import Site
from bot.storage.store import NotPublished, Store

# A file's compiled headers take about this much; an estimate is enough for a bound.
_BYTES_PER_FILE = 1200


class Sites:
    """The sites of this process, least recently used first out."""

    def __init__(
        self, store: Store, find: Callable[[str], list[Found]], largest: int = 64 << 20
    ) -> None:
        """`largest` bounds the memory of all sites together, in bytes (estimated)."""
        self._store = store
        self._find = find
        self._room = largest // _BYTES_PER_FILE  # counted in files
        self._used = 0
        self._sites: OrderedDict[str, tuple[Found, Site, int]] = OrderedDict()
        self._lock = threading.Lock()

    def ready(self, key: str) -> tuple[Found, Site] | None:
        """The site of a full SHA or deployment id, if it is in memory."""
        kept = self._sites.get(key)
        if kept is None:
            return None
        # Another thread may just have let it go; it is good all the same.
        with contextlib.suppress(KeyError):
            self._sites.move_to_end(key)
        return kept[0], kept[1]

    def look_up(self, key: str) -> list[Found]:
        """What the database says that a key means."""
        return self._find(key)

    def load(self, key: str, found: Found) -> Site | None:
        """The site of a ready deployment, remembered under `key`; `None`: not in the store."""
        if found.status != DeploymentStatus.READY:
            return None
        try:
            manifest = self._store.manifest(found.deployment_id)
        except NotPublished:
            return None
        site = Site(manifest, index=found.environment == "production")
        size = len(manifest.files) + 1
        with self._lock:
            if key not in self._sites:
                self._sites[key] = (found, site, size)
                self._used += size
            while self._used > self._room and len(self._sites) > 1:
                _, (_, _, freed) = self._sites.popitem(last=False)
                self._used -= freed
        return site

    def forget(self, key: str) -> None:
        with self._lock:
            kept = self._sites.pop(key, None)
            if kept is not None:
                self._used -= kept[2]
