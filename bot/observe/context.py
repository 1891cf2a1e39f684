"""The ids that every line of the log carries: request, delivery, build, deployment.

They belong to the running task, not to a logger: what is called from it need not
know them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})
_ids: ContextVar[Mapping[str, str]] = ContextVar("ids", default=_NONE)


def ids() -> Mapping[str, str]:
    """Those of the running task."""
    return _ids.get()


@contextlib.contextmanager
def carrying(**given: str) -> Iterator[None]:
    """Have the lines that are logged meanwhile carry these ids too; empty ones are left out."""
    token = _ids.set({**_ids.get(), **{name: value for name, value in given.items() if value}})
    try:
        yield
    finally:
        _ids.reset(token)
