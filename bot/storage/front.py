"""Names under which front servers (nginx, Caddy) find a deployment's tree.

`direct/<commit>` and `direct/<deployment id>` are links to `sites/<id>`. There is one
only while a front server may answer by itself; without it, it asks the bot.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bot.storage.manifest import Manifest

_COMMIT = re.compile(r"/([0-9a-f]{40}|[0-9a-f]{64})/")


def show(root: Path, manifest: Manifest) -> None:
    """Lead the deployment's names to its tree, unless another live one has them already."""
    for name in _names(root, manifest):
        if name.exists():  # follows the link: one that leads nowhere counts as free
            continue
        draft = root / "incoming" / f"{name.name}.{os.getpid()}.{os.urandom(4).hex()}"
        os.symlink(_target(manifest), draft)
        os.replace(draft, name)


def hide(root: Path, manifest: Manifest) -> None:
    """Take away the names that lead to the deployment."""
    for name in _names(root, manifest):
        with contextlib.suppress(OSError):
            if os.readlink(name) == _target(manifest):
                name.unlink()


def _names(root: Path, manifest: Manifest) -> Iterator[Path]:
    folder = root / "direct"
    yield folder / manifest.deployment
    commit = _COMMIT.fullmatch(manifest.base)
    if commit is not None:
        yield folder / commit[1]


def _target(manifest: Manifest) -> str:
    return f"../sites/{manifest.deployment}"
