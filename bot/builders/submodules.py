"""A repository's submodules: which there are, and where they may be fetched from.

A `.gitmodules` file is written by whoever pushes: it must lead neither to files of
this machine nor into its network. Only HTTPS, the repository's own server, and (for
a repository of this machine) its neighbours are followed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import posixpath
import re
import socket
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bot.builders.git_process import run_git
from bot.builders.git_tree import GitTree
from bot.errors import UserError

_DEEPEST = 5
_MOST = 100
_SECURE_SHELL = re.compile(r"(?:ssh://)?[\w.-]+@(?P<host>[\w.-]+?)(?::\d+)?[:/](?P<path>.+)")


@dataclass(frozen=True, slots=True)
class Module:
    """`path` is its folder in the tree; `url` is where its commit `sha` can be fetched."""

    path: str
    url: str
    sha: str

    @property
    def key(self) -> str:
        """A file name that stands for the URL."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:32]


def listed(
    repository: Path, sha: str, parent_url: str, tree: GitTree, depth: int
) -> Iterator[Module]:
    """A commit's submodules. Raises `UserError` for one that may not be followed."""
    if not tree.submodules:
        return
    if depth >= _DEEPEST or len(tree.submodules) > _MOST:
        raise UserError(
            "submodule-limit",
            f"There are more than {_MOST} submodules, or they nest deeper than {_DEEPEST}.",
        )
    urls = _urls(repository, sha) if ".gitmodules" in tree.files else {}
    for path, commit in tree.submodules.items():
        if path not in urls:
            raise UserError(
                "submodule-unavailable",
                f"The submodule {path} has no URL in .gitmodules.",
                f"Add it there, or remove it with `git rm --cached {path}`.",
            )
        yield Module(path, allowed_url(urls[path], parent_url, path), commit)


def _urls(repository: Path, sha: str) -> dict[str, str]:
    """path → url, as `.gitmodules` has it."""
    query = ("config", "-z", "--blob", f"{sha}:.gitmodules", "--get-regexp")
    listing = run_git(repository, (*query, r"^submodule\."))
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for entry in listing.decode(errors="surrogateescape").split("\0"):
        key, _, value = entry.partition("\n")
        name, _, variable = key.rpartition(".")
        found[name][variable] = value
    return {
        posixpath.normpath(module["path"]): module["url"]
        for module in found.values()
        if "path" in module and "url" in module
    }


def allowed_url(url: str, parent_url: str, path: str) -> str:
    """The address to fetch a submodule from; raises `UserError` where that is not allowed.

    Relative addresses are resolved, and SSH ones become HTTPS, since the bot has no
    SSH key. https://git-scm.com/docs/gitmodules
    """
    resolved = _resolve(url, parent_url)
    parts, parent = urlsplit(resolved), urlsplit(parent_url)
    if parts.scheme in {"http", "https"} and parts.hostname:
        if parts[:2] == parent[:2]:
            return resolved
        if parts.scheme == "https" and "@" not in parts.netloc and _is_public(parts.hostname):
            return resolved
    elif not parent.scheme and not parts.scheme:
        neighbours = os.path.realpath(os.path.dirname(parent_url))
        real = os.path.realpath(resolved)
        if os.path.commonpath([neighbours, real]) == neighbours:
            return real
    raise UserError(
        "submodule-not-allowed",
        f"The submodule {path} has the URL {url!r}, which is not followed.",
        "Submodules must have an HTTPS URL of a public host, or be on the repository's own server.",
    )


def _resolve(url: str, parent_url: str) -> str:
    if url.startswith(("./", "../")):
        parent = urlsplit(parent_url)
        joined = posixpath.normpath(posixpath.join(parent.path, url))
        return parent._replace(path=joined).geturl()
    parts = urlsplit(url)
    if parts.scheme == "git":
        return parts._replace(scheme="https").geturl()
    shell = _SECURE_SHELL.fullmatch(url)
    if shell is None or (parts.scheme and parts.scheme != "ssh"):
        return url
    parent = urlsplit(parent_url)
    server = f"https://{shell['host']}"
    if shell["host"] == parent.hostname:
        server = f"{parent.scheme}://{parent.netloc}"
    return f"{server}/{shell['path'].lstrip('/')}"


def _is_public(host: str) -> bool:
    try:
        addresses = {answer[4][0] for answer in socket.getaddrinfo(host, 443)}
    except OSError:
        return True  # a proxy may know it; where nobody does, the fetch says so
    return all(ipaddress.ip_address(address).is_global for address in addresses)


def inside(target: Path, path: str) -> Path:
    """The folder of a submodule, which must not lie behind a link out of the tree."""
    folder = target / path
    root = os.path.realpath(target)
    if os.path.commonpath([root, os.path.realpath(folder)]) != root:
        raise UserError("submodule-not-allowed", f"The submodule {path} leads out of the tree.")
    return folder
