"""Where commits come from: fetched once into a mirror, then read or exported from it.

Exactly the SHA that was asked for is fetched, whether or not a branch still leads
to it. Credentials live in the environment of the Git process that needs them, and
nowhere else: not on disk, in an argument, in a URL or in a log.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bot.builders import submodules
from bot.builders.git_process import GitFailed, ObjectReader, run_git
from bot.builders.git_tree import GitTree, read_tree
from bot.builders.job import BuildLog
from bot.builders.mirror import Mirror
from bot.errors import DeployStackError, SystemFault, UserError
from bot.secret import Secret

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PROJECT = re.compile(r"(?!\.)[\w.-]+/(?!\.{1,2}$)[\w.-]+", re.ASCII)
_QUIET = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
_ALONE = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "credential.helper=")

# What Git says, in its own words (LC_ALL=C), and what it means to the user.
_NO_SUCH_COMMIT = re.compile(
    r"not our ref|unadvertised object|couldn't find remote ref|no such remote ref"
    r"|shallow capabilities|does not support shallow|bad object|is not a valid SHA1"
)
_NO_ACCESS = re.compile(
    r"Authentication failed|could not read (Username|Password)|terminal prompts disabled"
    r"|returned error: 40[13]|Permission denied|Write access to repository not granted"
)
_NO_REPOSITORY = re.compile(
    r"[Rr]epository '?.*'? ?not found|does not appear to be a git repository|returned error: 404"
)
_NETWORK = re.compile(
    r"Could not resolve|Failed to connect|Connection (refused|reset|timed out)|Couldn't connect"
    r"|returned error: (429|5\d\d)|early EOF|RPC failed|SSL|transfer closed|Operation too slow"
    r"|Empty reply|remote end hung up|Network is unreachable|Operation timed out|unable to access"
)

# A checkout's own index, beside the mirror, and how old one is that a killed worker left.
_INDEX = ".index-"
_LEFT = 3600.0  # seconds

TokenFor = Callable[[str], Secret | None]


@dataclass(frozen=True)
class Source:
    """One commit in a mirror. Valid while `Repositories.fetch`'s block lasts."""

    repository: Path
    sha: str
    url: str
    tree: GitTree
    seconds: float
    _repositories: Repositories
    _project: str
    _log: BuildLog
    _cancelled: threading.Event
    _trusted: bool = True

    def export(self, target: Path, depth: int = 0) -> None:
        """Write the tree and its submodules into `target`, without `.git`, hooks or credentials.

        Symbolic links are written as they are. Raises `UserError` where a submodule
        cannot be had.
        """
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.repository.parent, prefix=_INDEX) as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index"), "GIT_WORK_TREE": str(target)}
            self._git(("read-tree", self.sha), index)
            checkout = ("-c", f"checkout.workers={min(4, os.cpu_count() or 1)}", "checkout-index")
            self._git((*checkout, "--all", "--force", "--quiet"), index)
        for module in submodules.listed(self.repository, self.sha, self.url, self.tree, depth):
            self._log.say(f"Submodule {module.path}: {module.url} at {module.sha[:7]}")
            with self._repositories.fetch_module(
                self._project, module, self.url, self._log, self._cancelled, trusted=self._trusted
            ) as part:
                part.export(submodules.inside(target, module.path), depth + 1)

    def tree_id(self, folder: str = ".") -> str:
        """Git's own digest of a folder of the commit: names, contents and modes."""
        return self.tree_ids((folder,))[0]

    def tree_ids(self, folders: Sequence[str]) -> list[str]:
        """The same of several folders."""
        named = (f"{self.sha}:{'' if folder == '.' else folder}" for folder in folders)
        return run_git(self.repository, ("rev-parse", *named)).decode().split()

    def naming(self, texts: Sequence[str], folders: Sequence[str]) -> list[str]:
        """The text files below some folders that hold one of `texts`."""
        wanted = [word for text in texts for word in ("-e", text)]
        arguments = ("grep", "-I", "-l", "-z", "-F", *wanted, self.sha, "--", *folders)
        try:
            found = run_git(self.repository, arguments, cancelled=self._cancelled)
        except GitFailed as failure:
            if failure.exit_code != 1 or failure.message:
                raise
            return []
        names = (os.fsdecode(name) for name in found.split(b"\0") if name)
        return [name.removeprefix(f"{self.sha}:") for name in names]

    def _git(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        run_git(self.repository, arguments, environment=environment, cancelled=self._cancelled)


class Repositories:
    """All mirrors, in one folder. Safe for many threads and processes at once.

    `token_for` answers a short-lived token for a project (`owner/name`), or `None`.
    `seconds` is how long one fetch may take.
    """

    def __init__(self, root: Path, token_for: TokenFor, seconds: float = 600) -> None:
        self._root = root
        self._token_for = token_for
        self._seconds = seconds

    @contextmanager
    def fetch(
        self,
        project: str,
        url: str,
        sha: str,
        log: BuildLog,
        cancelled: threading.Event,
        *,
        trusted: bool = True,
        pull_request: int = 0,
    ) -> Iterator[Source]:
        """A commit of `project`, fetched from `url` unless it is there already.

        A commit out of a fork (not `trusted`) is found by way of its `pull_request`, and
        names submodules that are fetched without our credentials.

        Raises `UserError` (`commit-not-found`, `repository-not-found`,
        `access-denied`), `SystemFault` for trouble on the way, `Stopped`.
        """
        if not _PROJECT.fullmatch(project):
            raise SystemFault("invalid-project", f"{project!r} is not a project's name.")
        path = self._root / f"{project}.git"
        with self._open(
            path,
            project,
            url,
            sha,
            log,
            cancelled,
            with_token=True,
            trusted=trusted,
            pull_request=pull_request,
        ) as source:
            yield source

    @contextmanager
    def fetch_module(
        self,
        project: str,
        module: submodules.Module,
        parent_url: str,
        log: BuildLog,
        cancelled: threading.Event,
        *,
        trusted: bool = True,
    ) -> Iterator[Source]:
        """A submodule's commit; the project's token goes to the project's own server alone.

        Each project mirrors its submodules for itself: what another project was let
        read must not become readable here because it was fetched before. So it is with
        what a fork's .gitmodules names: no token, and no mirror that one has filled.
        """
        kind = "modules" if trusted else "modules-untrusted"
        path = self._root / f"{project}.{kind}" / f"{module.key}.git"
        same_server = _server(module.url) == _server(parent_url)
        # A personal token reads whatever its owner can: whoever may push to one
        # repository must not read another owner's through a submodule.
        same_owner = _owner(module.url) == _owner(parent_url)
        try:
            with self._open(
                path,
                project,
                module.url,
                module.sha,
                log,
                cancelled,
                with_token=trusted and same_server and same_owner,
                trusted=trusted,
            ) as source:
                yield source
        except UserError as error:
            if error.code.startswith("submodule-"):
                raise
            raise UserError(
                "submodule-unavailable",
                f"The submodule {module.path} cannot be had: {error.message}",
                "Is its URL right, was its commit pushed, and may this host read it?",
            ) from error
        except SystemFault as fault:
            if fault.code != "fetch-failed":
                raise
            # Its server is of the repository's choosing: no outage that concerns all builds.
            raise SystemFault(
                "submodule-unreachable", f"The submodule {module.path}: {fault.message}"
            ) from fault

    def tidy(self) -> None:
        """Pack mirrors that grew by many small fetches. Cheap where there is nothing to do."""
        for path in [*self._root.glob("*/*.git"), *self._root.glob("*/*.modules*/*.git")]:
            mirror = Mirror(path)
            with mirror.try_lock() as free:
                if free:
                    mirror.tidy()
        for left in (*self._root.glob(f"*/{_INDEX}*"), *self._root.glob(f"*/*/{_INDEX}*")):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > _LEFT:
                    shutil.rmtree(left)

    @contextmanager
    def _open(
        self,
        path: Path,
        project: str,
        url: str,
        sha: str,
        log: BuildLog,
        cancelled: threading.Event,
        *,
        with_token: bool,
        trusted: bool,
        pull_request: int = 0,
    ) -> Iterator[Source]:
        if not _SHA.fullmatch(sha):
            raise UserError("commit-not-found", f"{sha!r} is not a full commit SHA.")
        started = time.monotonic()
        mirror = Mirror(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with mirror.using():
            with mirror.lock(cancelled) as lock:
                mirror.prepare(sha)
                if not mirror.holds(sha):
                    token = self._token_for(project) if with_token else None
                    self._fetch(mirror, url, sha, token, cancelled, lock, pull_request)
            with ObjectReader(path) as reader:
                try:
                    tree = read_tree(path, sha, reader)
                    seconds = time.monotonic() - started
                    about = (path, sha, url, tree, seconds)
                    yield Source(*about, self, project, log, cancelled, trusted)
                except GitFailed as failure:
                    # Something is missing that was fetched: the next attempt starts afresh.
                    with mirror.lock(cancelled):
                        mirror.discard()
                    raise SystemFault("mirror-broken", f"{path.name}: {failure}") from failure

    def _fetch(
        self,
        mirror: Mirror,
        url: str,
        sha: str,
        token: Secret | None,
        cancelled: threading.Event,
        lock: int,
        pull_request: int,
    ) -> None:
        environment = fetch_environment(url, token)

        def fetch(*arguments: str) -> None:
            run_git(
                mirror.path,
                (*_ALONE, "fetch", *_QUIET, *arguments),
                environment=environment,
                cancelled=cancelled,
                seconds=self._seconds,
                held=(lock,),
            )

        def by_sha() -> None:
            fetch("--depth=1", "--", url, f"+{sha}:refs/commits/{sha}")

        def by_name() -> None:
            """For servers that hand out named commits only: fetch all names, then look."""
            own = [f"pull/{pull_request}/head"] if pull_request else []
            names = own or ["heads/*", "pull/*", "tags/*"]
            fetch("--", url, *(f"+refs/{name}:refs/fetched/{name}" for name in names))
            try:
                run_git(mirror.path, ("cat-file", "-e", f"{sha}^{{commit}}"))
            except GitFailed as failure:
                raise GitFailed(failure.exit_code, f"not our ref {sha}") from None

        try:
            try:
                by_sha()
            except GitFailed as failure:
                if explain(failure, url, sha) is None:
                    # Nothing that a server says: the mirror itself is the trouble.
                    mirror.discard()
                    mirror.prepare(sha)
                    by_sha()
                elif _NO_SUCH_COMMIT.search(failure.message):
                    by_name()
                else:
                    raise
            mirror.name_commit(sha)
        except GitFailed as failure:
            raise explain(failure, url, sha) or SystemFault(
                "fetch-failed", f"{_shown(url)} cannot be fetched: {failure.message}"
            ) from None


def fetch_environment(url: str, token: Secret | None) -> dict[str, str]:
    """How Git may reach `url`, and with which credential.

    https://git-scm.com/docs/git-config#Documentation/git-config.txt-httpextraHeader
    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
    """
    if _server(url) == "":
        return {"GIT_ALLOW_PROTOCOL": "file"}
    # A redirect must not lead from HTTPS to HTTP.
    environment = {"GIT_ALLOW_PROTOCOL": "https" if url.startswith("https:") else "http:https"}
    if token:
        basic = base64.b64encode(f"x-access-token:{token.reveal()}".encode()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{_server(url)}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    return environment


def explain(failure: GitFailed, url: str, sha: str) -> DeployStackError | None:
    """What a failed fetch means; `None`: nothing that the server said explains it."""
    said = failure.message
    if _NO_SUCH_COMMIT.search(said):
        return UserError(
            "commit-not-found",
            f"{_shown(url)} has no commit {sha[:7]} (any more).",
            "Was it pushed, and not rewritten away since?",
        )
    if _NO_ACCESS.search(said):
        return UserError(
            "access-denied",
            f"{_shown(url)} may not be read.",
            "It is private or does not exist: give the bot a token or an App that may read it.",
        )
    if _NO_REPOSITORY.search(said):
        return UserError(
            "repository-not-found",
            f"{_shown(url)} was not found.",
            "Does it exist, and may the bot's token or App read it?",
        )
    if _NETWORK.search(said):
        return SystemFault("fetch-failed", f"{_shown(url)} cannot be reached: {said}")
    return None


def _server(url: str) -> str:
    """`https://host:port` of a web address; empty for a folder of this machine."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme in {"http", "https"} else ""


def _owner(url: str) -> str:
    """`owner` of `https://host/owner/name.git`, in lower case."""
    return urlsplit(url).path.strip("/").partition("/")[0].lower()


def _shown(url: str) -> str:
    """A URL without whatever secret somebody put into it."""
    parts = urlsplit(url)
    return url if "@" not in parts.netloc else url.replace(parts.netloc, parts.hostname or "")
