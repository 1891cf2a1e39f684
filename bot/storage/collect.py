"""Frees what no deployment refers to any more.

It decides which contents those are; how they are deleted without harm to somebody who
publishes at the same moment is the store's affair (`Store.sweeping`). Which deployments
are to go is decided elsewhere: here a deployment is there or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bot.storage.holdings import Holdings
from bot.storage.store import Content, Store

# What is uploaded or built at this moment belongs to no deployment yet.
LEAST_AGE = 86_400.0  # seconds
# Deleted at a time: publishings wait meanwhile.
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Collected:
    """What was freed, or would be. Sizes in bytes.

    `later`: what nobody refers to and goes as soon as it has been so for long enough.
    """

    contents: int
    size: int
    kept: int  # contents that deployments refer to, or that are too young
    later: int = 0


def collect(
    store: Store,
    *,
    dry_run: bool = False,
    least_age: float = LEAST_AGE,
    holdings: Holdings | None = None,
) -> Collected:
    """Delete contents that nobody has stored or relied on for `least_age` seconds.

    `holdings`: where what deployments hold is counted; with some left out, for dry runs alone.
    Raises `StoreFault`; what was freed until then is freed.
    """
    if not dry_run:
        store.tidy()
    held = holdings if holdings is not None else Holdings(store)
    held.look()
    total = later = 0
    unneeded: list[Content] = []
    for content in store.contents():
        total += 1
        if held.needs(content.digest):
            continue
        if content.age >= least_age:
            unneeded.append(content)
        else:
            later += content.size
    if dry_run:
        size = sum(content.size for content in unneeded)
        return Collected(len(unneeded), size, total - len(unneeded), later)
    deleted = size = 0
    for some in _portions(unneeded):
        with store.sweeping() as remove:
            # Published between the listing and this moment, in which nobody publishes.
            held.look()
            chosen = [content for content in some if not held.needs(content.digest)]
            size += remove(chosen)
            deleted += len(chosen)
    return Collected(deleted, size, total - deleted, later)


def _portions(contents: Sequence[Content]) -> Iterator[list[Content]]:
    given = iter(contents)
    while some := list(islice(given, _AT_ONCE)):
        yield some
