"""Whether a commit is part of a repository: reachable from one of its branches or tags.

That a server hands a commit out proves nothing: commits of forks, and ones that were
pushed away, can be had through the repository too. So its history is fetched, without
the files, and asked. It is not in charge of what is built.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.builders.git_process import GitFailed, run_git
from bot.builders.source import TokenFor, explain, fetch_environment
from bot.errors import SystemFault

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PROJECT = re.compile(r"(?!\.)[\w.-]+/(?!\.{1,2}$)[\w.-]+", re.ASCII)
_ALONE = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "credential.helper=")
_NAMES = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_SECONDS = 300.0


class Histories:
    """Repositories of commits alone, in one folder. Safe for many processes at once."""

    def __init__(self, root: Path, token_for: TokenFor) -> None:
        self._root = root
        self._token_for = token_for

    def name_reaching(self, project: str, url: str, sha: str) -> str:
        """A branch or tag that a commit is reachable from; empty: there is none.

        Raises `UserError`, `SystemFault` where the repository cannot be read.
        """
        if not _PROJECT.fullmatch(project) or not _SHA.fullmatch(sha):
            return ""
        path = self._root / f"{project}.git"
        with _held(path):
            self._fetch(path, project, url, sha)
            return _name(path, sha)

    def _fetch(self, path: Path, project: str, url: str, sha: str) -> None:
        if not (path / "HEAD").is_file():
            form = "sha256" if len(sha) == 64 else "sha1"
            init = ("init", "--quiet", "--bare", "--template=", f"--object-format={form}")
            run_git(path, (*init, str(path)))
        run_git(path, ("config", "remote.origin.url", url))
        options = ("--quiet", "--no-tags", "--prune", "--no-write-fetch-head", "--filter=tree:0")
        try:
            run_git(
                path,
                (*_ALONE, "fetch", *options, "origin", *_NAMES),
                environment=fetch_environment(url, self._token_for(project)),
                seconds=_SECONDS,
            )
        except GitFailed as failure:
            raise explain(failure, url, sha) or SystemFault(
                "fetch-failed", f"{project}'s history cannot be fetched: {failure.message}"
            ) from None


def _name(path: Path, sha: str) -> str:
    # A commit that is not here is not asked for elsewhere: the server might have it.
    environment = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
    arguments = ("for-each-ref", "--count=1", "--format=%(refname)", f"--contains={sha}")
    try:
        found = run_git(path, arguments, environment=environment)
    except GitFailed:  # no such commit
        return ""
    return found.decode("utf-8", "replace").strip().removeprefix("refs/").partition("/")[2]


@contextmanager
def _held(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
