"""What a path, a host name or a Referer says about the deployment that is meant.

Pure: nothing here knows whether there is such a deployment.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

# A whole commit SHA (SHA-1 or SHA-256) or a deployment's id (`bot.models.ids`).
FULL_KEY = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64}|dpl-[0-9a-hjkmnp-tv-z]{26})")
SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
ACCESS_PARAMETER = "_access"  # what lets the bearer of a link in
SHA_PREFIX = re.compile(r"[0-9a-f]{7,63}")
_ALIAS = re.compile(r"/~/([^/]+)/([^/]+)(/?)(.*)", re.DOTALL)
_SAFE_IN_PATH = "/~!$&'()*+,;=:@-._"


class AliasPath(NamedTuple):
    """`/~/<project>/<branch>/<rest>`, taken apart. `base` ends with a slash."""

    address: str
    base: str
    slash: bool
    rest: str


def decoded(path: str) -> str:
    """The path as text. WSGI hands bytes over as Latin-1 (PEP 3333); addresses are UTF-8."""
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


def quoted(path: str) -> str:
    """A path as it may stand in a header or an address."""
    return quote(path, safe=_SAFE_IN_PATH)


def alias_path(path: str) -> AliasPath | None:
    """Takes an alias in path form apart; `address` is what it is looked up by."""
    match = _ALIAS.fullmatch(path)
    if match is None:
        return None
    project, name, slash, rest = match.groups()
    address = project if name == "production" else f"{name}--{project}"
    return AliasPath(address.lower(), f"/~/{project}/{name}/", bool(slash), rest)


def host_name(header: str) -> str:
    """A Host header without its port, in lower case."""
    host = header.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")


def label_of(host: str, domain: str) -> str:
    """The one label in front of the preview domain; empty where there is none, or several."""
    label = host.removesuffix(f".{domain}")
    return label if label != host and "." not in label else ""


def base_of_referer(referer: str, host: str) -> tuple[str, str] | None:
    """(key or alias address, base path) of the preview whose page the Referer is, on this host."""
    try:
        parts = urlsplit(referer)
    except ValueError:
        return None
    if parts.netloc != host:
        return None
    if parts.path.startswith("/~/"):
        alias = alias_path(parts.path)
        return (alias.address, alias.base) if alias is not None else None
    key = parts.path[1:].partition("/")[0]
    return (key, f"/{key}/") if FULL_KEY.fullmatch(key) else None
