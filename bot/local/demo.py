"""`deploystack demo` and `deploystack try`: the whole way from a push to a page, for real."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import git
from rich.console import Console

from bot.errors import UserError
from bot.local import follow, push, supervisor
from bot.settings import Settings

SITES = Path(__file__).parent / "sites"
# The branch that each of the demo's sites is pushed to.
DEMO = {"plain": "plain", "react": "main"}


def demo(settings: Settings, console: Console) -> list[str]:
    """Push two sites to `_local/demo` and follow them; answers their preview URLs."""
    found = []
    with _running_bot(settings, console) as url:
        for site, branch in DEMO.items():
            console.rule(f"a push to _local/demo, branch {branch}")
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(SITES / site, folder, dirs_exist_ok=True)
                with push.commit_folder(Path(folder), f"Show the {site} site") as source:
                    found.append(_deploy(settings, url, source, "HEAD", "demo", branch, console))
    return found


def try_source(settings: Settings, console: Console, source: str, ref: str) -> str:
    """Deploy a folder, a repository on this machine, or a Git URL; answers the preview's URL."""
    with (
        _running_bot(settings, console) as url,
        tempfile.TemporaryDirectory() as folder,
        _obtain(source, Path(folder), ref) as repository,
    ):
        branch = ref if ref in {head.name for head in repository.heads} else _branch(repository)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source.rstrip("/")).name.removesuffix(".git"))
        if name in {"", ".", ".."}:
            name = Path(source).resolve().name or "site"
        commit = "HEAD" if _is_url(source) else ref
        return _deploy(settings, url, repository, commit, name.strip("."), branch, console)


def _deploy(
    settings: Settings,
    url: str,
    source: git.Repo,
    commit: str,
    name: str,
    branch: str,
    console: Console,
) -> str:
    pushed = push.push(source, commit, settings, name, branch)
    answer = push.send(settings, url, "push", push.payload(pushed))
    console.print(f"webhook: {answer.get('outcome')} {answer.get('reason', '')}".rstrip())
    build = follow.follow(url, pushed.after, console)
    follow.show(build, console)
    return str(build["url"])


@contextmanager
def _running_bot(settings: Settings, console: Console) -> Iterator[str]:
    """The bot's address. Where it does not run, it is started, and goes on running."""
    started = not supervisor.is_running(settings)
    if started:
        console.print("Starting the bot in the background…")
        supervisor.start_in_background(settings)
    yield supervisor.local_url(settings)
    if started:
        console.print(
            "\nThe bot goes on running, so that the previews answer: `make stop` ends it."
        )


def _is_url(source: str) -> bool:
    return "://" in source or re.match(r"[\w.-]+@[\w.-]+:", source) is not None


def _obtain(source: str, folder: Path, ref: str) -> git.Repo:
    """A repository that holds what is asked for."""
    if _is_url(source):
        return _fetch(source, folder / "clone", ref)
    path = Path(source).expanduser().resolve()
    if not path.is_dir():
        raise UserError("no-such-folder", f"{source} is not a folder.", "Name a folder or a URL.")
    if (path / ".git").exists() or (path / "HEAD").is_file():
        repository = git.Repo(path)
        try:
            repository.commit(ref)
        except (ValueError, git.BadName, git.GitCommandError):
            raise UserError("no-such-ref", f"{source} has no commit {ref!r}.") from None
        return repository
    # Not a repository: what is there now is committed, in a copy.
    ignored = shutil.ignore_patterns("node_modules", ".venv")
    shutil.copytree(path, folder / "copy", symlinks=True, ignore=ignored)
    return push.commit_folder(folder / "copy", f"Try {path.name}")


def _fetch(url: str, folder: Path, ref: str) -> git.Repo:
    """A branch, tag or commit of a repository elsewhere, checked out as a branch of that name."""
    repository = git.Repo.init(folder, initial_branch="main")
    try:
        repository.git.fetch("--depth=1", "--", url, ref)
    except git.GitCommandError as error:
        repository.close()
        said = str(error.stderr).strip().replace(url, _without_password(url))
        raise UserError("clone-failed", f"{_without_password(url)}: {said}") from None
    name = ref if re.fullmatch(r"[A-Za-z0-9][\w./-]*", ref) and ref != "HEAD" else "main"
    repository.git.checkout("--quiet", "-B", name, "FETCH_HEAD")
    return repository


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def _branch(repository: git.Repo) -> str:
    try:
        return repository.active_branch.name
    except TypeError:  # a detached HEAD
        return "main"
