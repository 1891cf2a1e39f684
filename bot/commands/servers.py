"""Which hosts this user is signed in to, with their tokens, in the user's configuration folder.

The file is the user's alone (0600) and replaced as a whole.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from bot.errors import UserError

DEFAULT_URL = "http://localhost:8000"


@dataclass
class Servers:
    """`current` is the host that commands go to where nothing else is said."""

    current: str = ""
    tokens: dict[str, str] = field(default_factory=dict)


def path() -> Path:
    return platformdirs.user_config_path("deploystack") / "servers.json"


def cache_folder() -> Path:
    """Where digests of deployed folders are kept."""
    return platformdirs.user_cache_path("deploystack")


def read() -> Servers:
    """Raises `UserError`: `configuration-unreadable`."""
    try:
        found = json.loads(path().read_bytes())
        tokens = {str(url): str(token) for url, token in found["tokens"].items()}
        return Servers(str(found["current"]), tokens)
    except FileNotFoundError:
        return Servers()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            "configuration-unreadable",
            f"{path()} cannot be read: {type(error).__name__}.",
            "Remove it, and sign in again with `deploystack login`.",
        ) from None


def write(servers: Servers) -> None:
    """Raises `UserError`: `configuration-unwritable`."""
    target = path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made for the user alone from the first byte on.
        descriptor, draft = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"current": servers.current, "tokens": servers.tokens}, file, indent=2)
        os.replace(draft, target)
    except OSError as error:
        raise UserError(
            "configuration-unwritable",
            f"{target} cannot be written: {error.strerror}.",
            "DEPLOYSTACK_URL and DEPLOYSTACK_TOKEN need no file.",
        ) from None


def normalised(url: str) -> str:
    """`deploy.example.com/` → `https://deploy.example.com`. Raises `UserError`: `invalid-url`."""
    given = url.strip()
    if "://" not in given:
        local = given.partition(":")[0] in {"localhost", "127.0.0.1"}
        given = f"{'http' if local else 'https'}://{given}"
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise UserError("invalid-url", f"{url!r} is no address of a host.")
    return given.rstrip("/")


def is_exposed(url: str) -> bool:
    """Whether a token would travel to another machine in the clear."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}
