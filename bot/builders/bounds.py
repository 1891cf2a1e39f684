"""A project's own limits (`[limits]`), which may lower the operator's and never raise them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bot.settings import Settings

# By the key of deploystack.toml. Sizes are in bytes, times in seconds.
_SETTINGS = {
    "time": "BUILD_TIMEOUT",
    "memory": "BUILD_MEMORY",
    "processes": "BUILD_PROCESSES",
    "output": "MAX_DEPLOYMENT_SIZE",
}


def bounded(settings: Settings, limits: Mapping[str, int]) -> Settings:
    """The settings as they hold for a build with these limits."""
    lowered = {
        _SETTINGS[key]: min(wanted, getattr(settings, _SETTINGS[key]))
        for key, wanted in limits.items()
    }
    return replace(settings, **lowered)


def beyond(settings: Settings, limits: Mapping[str, int]) -> Iterator[str]:
    """What to say of limits that are higher than the operator's, which hold then."""
    for key, wanted in limits.items():
        name = _SETTINGS[key]
        if wanted > getattr(settings, name):
            yield f"limits.{key} is more than this host allows; its own {name} holds"
