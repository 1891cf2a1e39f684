"""What a failed command most likely means, by what it printed.

Each row is a pattern in the last output and what its author can do about it. Only
causes that a person would not see at once belong here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bot.builders.plan import Step


class _Cause(NamedTuple):
    """`{where}` in the hint is the first of the pattern's named groups that matched, else
    what `detail` finds anywhere in the output."""

    pattern: str
    hint: str
    detail: str = ""


_HINTS: tuple[_Cause, ...] = (
    _Cause(
        # Platforms' own packages, which npm leaves out where the registry has none.
        r"npm (?:ERR!|error) Missing: (?P<package>\S+)@ from lock file",
        "The lockfile names no version of packages that another one asks for{where}: the registry "
        "did not have them when it was written. Delete node_modules and the lockfile, install "
        "again and commit the new one; if that lacks them too, pin what asks for them to an "
        "earlier version.",
    ),
    _Cause(
        r"npm ci.* can only install packages when your package\.json and package-lock\.json"
        r"|ERR_PNPM_OUTDATED_LOCKFILE|lockfile needs to be updated|YN0028"
        r"|lockfile had changes, but lockfile is frozen",
        "package.json and the lockfile do not agree{where}: install once on your machine and "
        "commit the lockfile.",
        r"npm (?:ERR!|error) ((?:Missing|Invalid): .+)",
    ),
    _Cause(
        # As a warning (`npm warn ERESOLVE overriding …`) it is no cause of anything.
        r"npm (?:ERR!|error) (?:code )?ERESOLVE|ERR_PNPM_PEER_DEP_ISSUES",
        "Two packages want different versions of a third, a peer dependency{where}: bring their "
        "versions in line, or put `legacy-peer-deps=true` into the repository's .npmrc.",
        r"npm (?:ERR!|error) peer (\S+@\"[^\"]*\" from \S+)",
    ),
    _Cause(
        r"fonts\.googleapis\.com|Failed to fetch .* from Google Fonts",
        "The build wants fonts from Google, which cannot be reached from here: keep the fonts "
        "in the repository (for Next.js: next/font/local).",
    ),
    _Cause(
        r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<host>[\w.-]+)|ECONNREFUSED|ENETUNREACH"
        r"|Could not resolve host: (?P<name>[\w.-]+)",
        "The build wants a host that cannot be reached from here{where}: keep what it fetches in "
        "the repository or in a package, or ask the operator to allow it.",
    ),
    _Cause(
        r"ERR_OSSL_EVP_UNSUPPORTED|digital envelope routines::unsupported",
        "An old webpack meets a new Node: ask for Node 16 in .nvmrc, or set "
        "NODE_OPTIONS=--openssl-legacy-provider in the build script.",
    ),
    _Cause(
        r"JavaScript heap out of memory|Reached heap limit",
        "Node ran out of memory: set NODE_OPTIONS=--max-old-space-size in the build script, or "
        "build less at a time.",
    ),
    _Cause(
        r"npm (?:ERR!|error) code E40[14]\b|ERR_PNPM_FETCH_40[14]",
        "A package does not exist in the registry, or is private: the registry's answer is in "
        "the log.",
    ),
    _Cause(
        r"Unsupported engine|EBADENGINE|The engine \"node\" is incompatible"
        r"|requires Node\.js|Node\.js v?[\d.]+ is not supported|ERR_PNPM_UNSUPPORTED_ENGINE",
        "A package wants another Node version: name it in .nvmrc or in `engines`.",
    ),
    _Cause(
        r"Cannot find module '([^'./][^']*)'|Cannot find package '([^']+)'"
        r"|Failed to resolve import \"([^\".][^\"]*)\"",
        "A module is missing: is it in package.json, and spelled with the right case?",
    ),
    _Cause(r"ENOSPC|No space left on device", "The disk is full."),
)


def explain(step: Step, exit_code: int, printed: str) -> tuple[str, str]:
    """(message, hint) for a command that ended with an error."""
    shown = f"`{' '.join(step.argv)}`"
    message = f"{shown} exited with {exit_code}."
    if exit_code == 127:
        return message, f"A program that {shown} calls is not installed: see the log."
    if exit_code == 137:
        return message, "It was killed, most likely because it needed too much memory."
    for cause in _HINTS:
        if found := re.search(cause.pattern, printed):
            where = next((part for part in found.groupdict().values() if part), "")
            if not where and cause.detail and (said := re.search(cause.detail, printed)):
                where = said[1].strip()
            return message, cause.hint.replace("{where}", f" ({where})" if where else "")
    return message, "The last lines of the log say why."
