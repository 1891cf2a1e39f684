"""DATA_DIR as others on the machine see it: they may pass through, to what front servers serve
and builds use, and read nothing else.

Whoever chose another mode for the folder keeps it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

# What `mkdir` gives by itself on most systems, and what is enough.
_USUAL, _ENOUGH = 0o755, 0o711
# Source code, build logs and archives of projects, which may be private.
_PRIVATE = ("histories", "logs", "mirrors", "repositories", "uploads")


def prepare(folder: Path) -> None:
    """Make the folder, and what is nobody else's in it. Safe to call again, and at once."""
    folder.mkdir(parents=True, exist_ok=True)
    about = folder.stat()
    if about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) == _USUAL:
        folder.chmod(_ENOUGH)
    for name in _PRIVATE:
        with contextlib.suppress(FileExistsError):
            (folder / name).mkdir(mode=0o700)
