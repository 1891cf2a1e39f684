"""Fetching one commit of a repository by its address, into a plain folder.

Nothing is kept: whoever deploys a repository often connects it instead. The commit's
tree is written without `.git`; submodules and Git LFS files are not fetched.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from bot.builders.git_process import GitFailed, run_git
from bot.builders.job import BuildLog, Stopped
from bot.errors import SystemFault, UserError
from bot.uploads.remote import Remote, git_options, resolve

_NO_SUCH_REF = re.compile(
    r"couldn't find remote ref|not our ref|unadvertised object|no such remote ref|Invalid refspec"
)
_NO_ACCESS = re.compile(
    r"[Rr]epository '?.*'? ?not found|Authentication failed|could not read Username"
    r"|terminal prompts disabled|returned error: 40[134]|does not appear to be a git repository"
    r"|not valid: is this a git repository"
)
_MOVED = re.compile(r"unable to update url base from redirection|returned error: 30\d")


def clone(
    remote: Remote,
    target: Path,
    log: BuildLog,
    cancelled: threading.Event,
    seconds: float,
    largest: int,
) -> str:
    """Write the tree of the remote's commit into `target`; answers the commit's SHA.

    `largest`: bytes that its files may take together. Raises `UserError`
    (`repository-not-found`, `ref-not-found`, `repository-moved`, `repository-too-large`, and
    those of `resolve`), `SystemFault` for what may pass, and `Stopped`.
    """
    options = git_options(remote, resolve(remote))
    log.say(f"Fetching {remote.ref} of {remote.url}")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        repository = Path(folder) / "repository"

        def git(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
            output = run_git(
                repository,
                arguments,
                environment=environment,
                cancelled=cancelled,
                seconds=seconds,
            )
            return output.decode(errors="replace").strip()

        repository.mkdir()
        git("init", "--quiet", "--bare", "--template=")
        if cancelled.is_set():
            raise Stopped
        try:
            git(*options, "fetch", "--quiet", "--depth=1", "--no-tags",
                "--no-recurse-submodules", "--end-of-options", remote.url, remote.ref)  # fmt: skip
        except GitFailed as error:
            raise _explained(error, remote) from None
        sha = git("rev-parse", "--verify", "FETCH_HEAD^{commit}")
        _assure_size(git("ls-tree", "-r", "-l", "--full-tree", sha), remote, largest)
        work_tree = {"GIT_WORK_TREE": str(target)}
        git("read-tree", sha, environment=work_tree)
        git("checkout-index", "--all", "--force", "--quiet", environment=work_tree)
    log.say(f"Fetched {sha[:7]}")
    return sha


def _assure_size(listing: str, remote: Remote, largest: int) -> None:
    """Raises `UserError` where the files of a tree (`git ls-tree -l`) are too large together."""
    sizes = (line.partition("\t")[0].rpartition(" ")[2] for line in listing.splitlines())
    size = sum(int(found) for found in sizes if found.isdecimal())  # submodules have none
    if size > largest:
        raise UserError(
            "repository-too-large",
            f"The files of {remote.url} take {size >> 20} MB; {largest >> 20} MB are allowed.",
            "Deploy what it builds, or ask the operator to raise BUILD_DISK.",
        )


def _explained(error: GitFailed, remote: Remote) -> UserError | SystemFault:
    if _NO_SUCH_REF.search(error.message):
        return UserError("ref-not-found", f"{remote.url} has no {remote.ref}.")
    if _MOVED.search(error.message):
        return UserError(
            "repository-moved",
            f"{remote.url} leads elsewhere, which is not followed.",
            "Give the repository's present address.",
        )
    if _NO_ACCESS.search(error.message):
        return UserError(
            "repository-not-found",
            f"{remote.url} does not exist, or is private.",
            "Only public repositories are fetched by address; connect a private one.",
        )
    return SystemFault("fetch-failed", f"{remote.url} cannot be fetched: {error.message}")
