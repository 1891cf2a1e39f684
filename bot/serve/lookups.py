"""What the database says of addresses, shared between machines for some seconds.

Every change that visitors may see gives the answers a new generation (`bot.announcements`):
what was kept of an earlier one counts no more. An answer is kept under the generation that
there was before the database was asked, so it is never older than that.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bot.announcements import GENERATION
from bot.cache import Cache
from bot.models.resolve import Found
from bot.models.status import DeploymentStatus
from bot.observe import lookups
from bot.serve.address import FULL_KEY

# As long as a lost announcement may go unnoticed.
_READY = 5.0  # seconds
# A build's states are not announced; whoever waits for one looks every two seconds.
_ON_ITS_WAY = 1.0


class _Kept(msgspec.Struct, array_like=True):
    generation: bytes
    found: list[Found]


class SharedLookups:
    """`find` as a function of the database, and through the cache."""

    def __init__(self, find: Callable[[str], list[Found]], cache: Cache) -> None:
        self._find = find
        self._cache = cache
        self._decoder = msgspec.msgpack.Decoder(_Kept)

    def __call__(self, key: str) -> list[Found]:
        if FULL_KEY.fullmatch(key) is None:
            return self._find(key)
        kept, generation = self._cache.get(f"found:{key}", GENERATION)
        known = self._decoded(kept)
        hit = known is not None and known.generation == (generation or b"")
        lookups.note("lookups", hit)
        if known is not None and hit:
            return known.found
        found = self._find(key)
        # Secrets of protected projects stay in the database.
        if found and all(one.access is None for one in found):
            ready = all(one.status == DeploymentStatus.READY for one in found)
            content = msgspec.msgpack.encode(_Kept(generation or b"", found))
            self._cache.put(f"found:{key}", content, _READY if ready else _ON_ITS_WAY)
        return found

    def _decoded(self, kept: bytes | None) -> _Kept | None:
        try:
            return self._decoder.decode(kept) if kept is not None else None
        except (msgspec.DecodeError, msgspec.ValidationError):
            return None  # of another version of the bot
