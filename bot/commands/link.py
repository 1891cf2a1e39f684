"""Which project a folder belongs to: `.deploystack/link.json`, kept out of Git."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.errors import UserError

FOLDER = ".deploystack"


@dataclass(frozen=True)
class Link:
    server: str = ""
    project: str = ""


def read(folder: Path) -> Link:
    """The link of a folder, or of the nearest folder above it. Empty where there is none."""
    for candidate in (folder := folder.resolve(), *folder.parents):
        try:
            found = json.loads((candidate / FOLDER / "link.json").read_bytes())
            return Link(str(found["server"]), str(found["project"]))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, LookupError, TypeError):
            raise UserError(
                "link-unreadable",
                f"{candidate / FOLDER / 'link.json'} cannot be read.",
                "Write it anew with `deploystack init`.",
            ) from None
    return Link()


def write(folder: Path, link: Link) -> None:
    """Raises `UserError`: `link-unwritable`."""
    try:
        place = folder / FOLDER
        place.mkdir(exist_ok=True)
        (place / ".gitignore").write_text("*\n")
        (place / "link.json").write_text(json.dumps(asdict(link), indent=2) + "\n")
    except OSError as error:
        raise UserError("link-unwritable", f"{folder}: {error.strerror}.") from None
