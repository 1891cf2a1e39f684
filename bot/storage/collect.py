"""Frees what no deployment refers to any more.

It decides which contents those are; how they are deleted without harm to somebody who
publishes at the same moment is the store's affair (`Store.sweeping`). Which deployments
are to go is decided elsewhere: here a deployment is there or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bot.storage.store import Content, NotPublished, Store

# What is uploaded or built at this moment belongs to no deployment yet.
LEAST_AGE = 86_400.0  # seconds
# Deleted at a time: publishings wait meanwhile.
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Collected:
    """What was freed, or would be. `size` in bytes."""

    contents: int
    size: int
    kept: int  # contents that deployments refer to, or that are too young


def collect(store: Store, *, dry_run: bool = False, least_age: float = LEAST_AGE) -> Collected:
    """Delete contents that nobody has stored or relied on for `least_age` seconds.

    Raises `StoreFault`; what was freed until then is freed.
    """
    if not dry_run:
        store.tidy()
    seen: dict[str, str] = {}
    needed: set[str] = set()
    _refer(store, seen, needed)
    total = 0
    unneeded: list[Content] = []
    for content in store.contents():
        total += 1
        if content.age >= least_age and content.digest not in needed:
            unneeded.append(content)
    if dry_run:
        size = sum(content.size for content in unneeded)
        return Collected(len(unneeded), size, total - len(unneeded))
    deleted = size = 0
    for some in _portions(unneeded):
        with store.sweeping() as remove:
            # Published between the listing and this moment, in which nobody publishes.
            _refer(store, seen, needed)
            chosen = [content for content in some if content.digest not in needed]
            size += remove(chosen)
            deleted += len(chosen)
    return Collected(deleted, size, total - deleted)


def _refer(store: Store, seen: dict[str, str], needed: set[str]) -> None:
    """Add what deployments need whose manifest is new since they were last looked at."""
    for deployment_id, version, _ in store.deployments():
        if seen.get(deployment_id) == version:
            continue
        try:
            needed.update(store.manifest(deployment_id).digests())
        except NotPublished:  # deleted meanwhile
            continue
        seen[deployment_id] = version


def _portions(contents: Sequence[Content]) -> Iterator[list[Content]]:
    given = iter(contents)
    while some := list(islice(given, _AT_ONCE)):
        yield some
