"""The addresses that aliases answer to, as pure functions.

An address is one label of a host name (RFC 1035: 63 characters, letters, digits and
hyphens), so that `<address>.<preview domain>` is a name.
"""

from __future__ import annotations

import hashlib
import re

from bot.models.status import AliasKind

LONGEST_LABEL = 63
_BETWEEN = "--"
_OTHER = re.compile(r"[^a-z0-9]+")


def slug(text: str) -> str:
    """`octo/My_Site` → `octo-my-site`; never two hyphens in a row, never empty."""
    return _OTHER.sub("-", text.lower()).strip("-") or "x"


def address(kind: AliasKind, name: str, project: str) -> str:
    """What an alias is looked up by.

    Production is `<project>`, a branch `<branch>--<project>`, a pull request
    `pr-<number>--<project>`. What is too long is cut, and a
    digest keeps it apart from others that begin alike.
    """
    if kind is AliasKind.PRODUCTION:
        return _cut(slug(project), project)
    first = f"pr-{slug(name)}" if kind is AliasKind.PULL_REQUEST else slug(name)
    return _cut(f"{first}{_BETWEEN}{slug(project)}", f"{name}\n{project}")


def alias_path(found: str) -> str:
    """The path form of an address: `main--octo-site` → `/~/octo-site/main/`."""
    name, between, project = found.rpartition(_BETWEEN)
    return f"/~/{project}/{name}/" if between else f"/~/{found}/production/"


def _cut(label: str, whole: str) -> str:
    if len(label) <= LONGEST_LABEL:
        return label
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{digest}-{label[-(LONGEST_LABEL - 9) :].lstrip('-')}"
