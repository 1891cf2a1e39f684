"""The account that builds run under when the bot itself is root.

Root is bound by neither file permissions nor RLIMIT_NPROC, so a build never runs as
root. It gets an account that owns nothing but its own build folders; the number need
not be in /etc/passwd.
"""

from __future__ import annotations

import os
from pathlib import Path

# Below 65,536, so that it exists inside a container whose ids are mapped, too.
BUILD_UID = 65533
BUILD_GID = 65533


def runs_as_root() -> bool:
    return os.geteuid() == 0


def hand_over(folder: Path) -> None:
    """Make the build account the owner of a folder and all that is in it.

    Skips a folder that it owns already: whatever is added later, builds add. The folder
    itself comes last, so that an interrupted hand-over is done again.
    """
    if not runs_as_root() or folder.lstat().st_uid == BUILD_UID:
        return
    if folder.is_dir():
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(f"{parent}/{name}", BUILD_UID, BUILD_GID, follow_symlinks=False)
    os.chown(folder, BUILD_UID, BUILD_GID, follow_symlinks=False)
