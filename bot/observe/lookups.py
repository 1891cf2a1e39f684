"""Lookups in what is kept to save time: who was asked, and whether it had it.

Caches say so here and know of no metrics; nobody listens where none are asked for.
"""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[str, bool], None]


def _nobody(_cache: str, _found: bool) -> None: ...


_listener: Listener = _nobody


def listen(listener: Listener) -> None:
    """Tell this listener of every lookup from now on: the cache's name, and whether it hit."""
    global _listener  # noqa: PLW0603 (one per process, as its metrics are)
    _listener = listener


def note(cache: str, found: bool) -> None:
    """`cache` is one of a handful of names: it becomes a label."""
    _listener(cache, found)
