"""Which files of a deployment hold rules, and reading them all."""

from __future__ import annotations

from collections.abc import Callable

from bot.serve.rules.draft import Draft
from bot.serve.rules.model import NO_RULES, Rules
from bot.serve.rules.netlify import read_headers, read_redirects
from bot.serve.rules.tables import read_serve, read_toml, read_vercel
from bot.storage.manifest import Manifest
from bot.storage.store import Store

_LARGEST = 1 << 20  # bytes of one file

# In this order, since the first redirect that matches counts.
_READERS: tuple[tuple[str, Callable[[str, Draft, str], None]], ...] = (
    ("_redirects", read_redirects),
    ("_headers", read_headers),
    ("deploystack.toml", read_toml),
    ("netlify.toml", read_toml),
    ("vercel.json", read_vercel),
    ("serve.json", read_serve),
)


def rules_of(store: Store, manifest: Manifest) -> Rules:
    """The rules of a deployment: from its own top folder, else from its configuration."""
    draft = Draft()
    for name, read in _READERS:
        entry = manifest.files.get(name)
        if entry is None and name not in manifest.configuration:
            continue
        draft.sources.add(name)
        if entry is None:
            text = manifest.configuration[name]
        elif entry.size > _LARGEST:
            draft.warn(name, f"is larger than {_LARGEST >> 20} MB, and left out")
            continue
        else:
            with store.open(entry.digest) as file:
                text = file.read().decode(errors="replace")
        read(text.removeprefix("\ufeff"), draft, name)
    return draft.rules() if draft.sources else NO_RULES
