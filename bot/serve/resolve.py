"""From the key in an address to a site, kept in memory.

What a published deployment serves never changes, so it is compiled once. Once a
second at most, and only if the database has changed at all, it is asked whether the
deployment is still there. Keys that could not be served are asked for again each time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.models.ids import now
from bot.models.resolve import Found
from bot.models.status import DeploymentStatus
from bot.serve.rules import rules_of
from bot.serve.site import Site
from bot.serve.traffic import TrafficBook
from bot.storage.store import NotPublished, Store, StoreFault

logger = logging.getLogger(__name__)

_RECHECK = 1.0  # s
# Variants come some seconds after a deployment goes live, or never.
_FIRST_LOOK, _LAST_LOOK = 2.0, 300.0  # s between looks, doubled each time
_GIVE_UP = 3_600_000  # ms after it went live


@dataclass
class _Kept:
    site: Site
    version: int | None
    due: float
    look_due: float
    look_every: float = _FIRST_LOOK
    keys: set[str] = field(default_factory=set)


class Sites:
    """The sites of this process, least recently used first out."""

    def __init__(
        self,
        store: Store,
        find: Callable[[str], list[Found]],
        version: Callable[[], int | None],
        book: TrafficBook,
        largest: int,
    ) -> None:
        """`largest` bounds the memory of all sites together, in bytes (estimated)."""
        self._store = store
        self._find = find
        self._version = version
        self._book = book
        self._room = largest
        self._used = 0
        self._by_key: OrderedDict[str, _Kept] = OrderedDict()
        self._by_id: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._loading = [threading.Lock() for _ in range(16)]

    def ready(self, key: str) -> Site | None:
        """The site of a full SHA or deployment id, if it is in memory."""
        kept = self._by_key.get(key)
        if kept is None:
            return None
        if kept.due <= time.monotonic() and not self._still_there(kept):
            return None
        try:  # noqa: SIM105 - `suppress` costs more than all of this function
            self._by_key.move_to_end(key)
        except KeyError:
            pass  # another thread has just let it go; it is good all the same
        return kept.site

    def look_up(self, key: str) -> list[Found]:
        """What the database says that a key means."""
        return self._find(key)

    def load(self, key: str, found: Found) -> Site | None:
        """The site of a ready deployment, remembered under `key`; `None`: not in the store."""
        if found.status != DeploymentStatus.READY:
            return None
        version = self._version()
        with self._loading[hash(found.deployment_id) % len(self._loading)]:
            kept = self._by_id.get(found.deployment_id)
            if kept is None:
                site = self._compile(found)
                if site is None:
                    return None
                moment = time.monotonic()
                kept = _Kept(site, version, moment + _RECHECK, moment + _FIRST_LOOK)
            self._keep(key, kept)
        return kept.site

    def _compile(self, found: Found) -> Site | None:
        try:
            manifest = self._store.known_manifest(found.deployment_id)
        except NotPublished:
            return None
        rules = rules_of(self._store, manifest)
        return Site(manifest, found, self._book.counter(found.deployment_id), rules)

    def _still_there(self, kept: _Kept) -> bool:
        """Whether a site may be served on; brings it up to date."""
        moment = time.monotonic()
        kept.due = moment + _RECHECK
        version = self._version()
        site = kept.site
        if version is None or version != kept.version:
            kept.version = version
            found = self._find(site.deployment_id)
            if not found or found[0].status != DeploymentStatus.READY:
                self._forget(kept)
                return False
            if found[0] != site.found:
                self._replace(kept, found[0])
        if not site.compressed and kept.look_due <= moment:
            kept.look_every = min(kept.look_every * 2, _LAST_LOOK)
            given_up = now() - site.modified * 1000 > _GIVE_UP
            kept.look_due = float("inf") if given_up else moment + kept.look_every
            self._replace(kept, kept.site.found)
        return True

    def _replace(self, kept: _Kept, found: Found) -> None:
        try:
            site = self._compile(found)
        except StoreFault as fault:
            if found != kept.site.found:
                # It may be protected since: better no answer than the one of before.
                self._forget(kept)
                raise
            logger.warning("%s is served as it is known: %s", found.deployment_id, fault)
            return
        if site is not None:
            kept.site = site

    def _keep(self, key: str, kept: _Kept) -> None:
        with self._lock:
            if kept.site.deployment_id not in self._by_id:
                self._by_id[kept.site.deployment_id] = kept
                self._used += kept.site.memory
            kept.keys.add(key)
            self._by_key[key] = kept
            while self._used > self._room and len(self._by_id) > 1:
                oldest, dropped = self._by_key.popitem(last=False)
                dropped.keys.discard(oldest)
                if not dropped.keys:
                    self._drop(dropped)

    def _forget(self, kept: _Kept) -> None:
        with self._lock:
            for key in kept.keys:
                self._by_key.pop(key, None)
            kept.keys.clear()
            self._drop(kept)

    def _drop(self, kept: _Kept) -> None:
        if self._by_id.pop(kept.site.deployment_id, None) is not None:
            self._used -= kept.site.memory


class Aliases:
    """From an alias's address to the deployment that it leads to at this moment.

    Whether the database has changed costs microseconds to know, and is asked each time:
    a moved alias is seen by the very next request, in whichever process.
    """

    _MOST = 10_000

    def __init__(self, find: Callable[[str], str], version: Callable[[], int | None]) -> None:
        self._find = find
        self._version = version
        self._known: dict[str, tuple[int, str]] = {}

    def find(self, address: str) -> str:
        """The deployment's id; empty: no such alias."""
        version = self._version()
        known = self._known.get(address)
        if known is not None and known[0] == version:
            return known[1]
        found = self._find(address)
        if version is not None:
            if len(self._known) >= self._MOST:
                self._known.clear()
            self._known[address] = version, found
        return found
