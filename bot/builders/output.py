"""What of a folder, or of a commit, gets published: the output check.

Never published: dotfiles and folders beginning with a dot (`.git`, `.env`, editors'
and systems' litter), except `.well-known`, which is meant to be public (RFC 8615), but for
our own folder in there, where provenance is served; `node_modules` at the top of what is
published; symbolic links that lead out; devices, sockets and pipes; names that are not
UTF-8. All but the first two are mentioned in the log.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.builders.git_tree import Blob, GitTree
from bot.builders.job import BuildLog
from bot.builders.sandbox.placed import WORKSPACE
from bot.errors import UserError
from bot.settings import Settings

INDEX = "index.html"
# What the bot itself answers, on every host that it serves: no site has files in there.
OWN = ".well-known/deploystack/"
_MENTIONED = 20
_MOST_LINKS = 40  # followed for one path, as in Linux' own look-up


@dataclass(frozen=True, kw_only=True)
class OutputLimits:
    """The most that one deployment may hold; sizes in bytes."""

    files: int
    file_size: int
    total_size: int


def limits_of(settings: Settings) -> OutputLimits:
    return OutputLimits(
        files=settings.MAX_FILES,
        file_size=settings.MAX_FILE_SIZE,
        total_size=settings.MAX_DEPLOYMENT_SIZE,
    )


class Checked:
    """Files that passed, by their path in the site; enforces the limits as it grows."""

    def __init__(self, limits: OutputLimits) -> None:
        self._limits = limits
        self._total = 0
        self._count = 0

    def count(self, path: str, size: int) -> None:
        limits = self._limits
        self._count += 1
        self._total += size
        if size > limits.file_size:
            raise UserError(
                "file-too-large",
                f"{path} has {_size(size)}; the largest file allowed has "
                f"{_size(limits.file_size)}.",
                "Keep large files elsewhere, or ask the operator to raise MAX_FILE_SIZE.",
            )
        if self._count > limits.files:
            raise UserError(
                "too-many-files",
                f"There are more than {limits.files} files to publish (at {path}).",
                "Is the right folder published? MAX_FILES is the operator's limit.",
            )
        if self._total > limits.total_size:
            raise UserError(
                "deployment-too-large",
                f"The files to publish have more than {_size(limits.total_size)} (at {path}).",
                "Is the right folder published? MAX_DEPLOYMENT_SIZE is the operator's limit.",
            )


class LeftOut:
    """Mentions in the log what is not published, but not for ever."""

    def __init__(self, log: BuildLog) -> None:
        self._log = log
        self._count = 0

    def __call__(self, path: str, reason: str) -> None:
        self._count += 1
        if self._count <= _MENTIONED:
            shown = path.encode("utf-8", "backslashreplace").decode()
            self._log.say(f"Left out {shown}: {reason}")
        elif self._count == _MENTIONED + 1:
            self._log.say("Left out more; they are not listed.")


def is_hidden(path: str) -> bool:
    """Whether a path is never published, whatever it is."""
    if "/." not in path and not path.startswith((".", "node_modules")):
        return False  # nearly all
    first, _, _ = path.partition("/")
    if first == "node_modules" or f"{path}/".startswith(OWN):
        return True
    return any(
        part.startswith(".") and not (part == ".well-known" and number == 0)
        for number, part in enumerate(path.split("/"))
    )


def choose_output(root: Path, outputs: tuple[str, ...]) -> Path:
    """The first of the folders that holds an index page.

    Raises `UserError`: `output-missing` where there is no such folder, `no-index-page`
    where there are some, but none with an index page.
    """
    real_root = os.path.realpath(root)
    there = []
    for name in outputs:
        folder = root / name
        real = os.path.realpath(folder)
        if not os.path.isdir(real) or os.path.commonpath([real, real_root]) != real_root:
            continue
        if os.path.isfile(os.path.join(real, INDEX)):
            return Path(real)
        there.append(name)
    looked = ", ".join(name for name in outputs if name != ".") or "the repository's top folder"
    if not there:
        raise UserError(
            "output-missing",
            f"No output folder: looked for {looked}.",
            "Have the build write there, or set build.output in deploystack.toml.",
        )
    found = ", ".join(sorted(os.listdir(root / there[0]))[:10]) or "nothing"
    raise UserError(
        "no-index-page",
        f"There is no {INDEX} in {', '.join(there)}; {there[0]} holds {found}.",
        "A site needs an index page at its top; set build.output in deploystack.toml "
        "where it lies elsewhere.",
    )


def check_folder(
    folder: Path, limits: OutputLimits, log: BuildLog, work: Path | None = None
) -> Iterator[tuple[str, Path]]:
    """Every file to publish: its path in the site, and where it lies. In no special order.

    Links that stay within the folder are followed; `work` is the build's folder, which
    commands have seen elsewhere (`bot.builders.sandbox.placed`).
    """
    root = os.path.realpath(folder)
    left_out = LeftOut(log)
    checked = Checked(limits)
    # Each with the real folders above it: a link to one of those would never end.
    folders: list[tuple[str, str, frozenset[str]]] = [("", root, frozenset({root}))]
    while folders:
        prefix, real, above = folders.pop()
        try:
            entries = sorted(os.scandir(real), key=lambda entry: entry.name)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            left_out(prefix, "its path is too long")
            continue
        for entry in entries:
            path = prefix + entry.name
            if is_hidden(path):
                continue
            if not _is_utf8(path):
                left_out(path, "its name is not UTF-8")
                continue
            target = entry.path
            if entry.is_symlink():
                target = _followed(entry.path, work)
                if os.path.commonpath([root, target]) != root or is_hidden(
                    os.path.relpath(target, root)
                ):
                    left_out(path, "the link leads out of the folder")
                    continue
            try:
                about = os.lstat(target)
            except OSError:
                left_out(path, "the link leads nowhere")
                continue
            if stat.S_ISDIR(about.st_mode):
                if target in above:
                    left_out(path, "the link leads to a folder that it lies in")
                else:
                    folders.append((f"{path}/", target, above | {target}))
            elif stat.S_ISREG(about.st_mode):
                checked.count(path, about.st_size)
                yield path, Path(target)
            else:
                left_out(path, "it is a device, a socket or a pipe")


def check_tree(tree: GitTree, folder: str, limits: OutputLimits, log: BuildLog) -> dict[str, Blob]:
    """The same of a commit's folder, without a checkout: path in the site → blob."""
    prefix = "" if folder == "." else f"{folder}/"
    left_out = LeftOut(log)
    checked = Checked(limits)
    found: dict[str, Blob] = {}

    def add(path: str, blob: Blob) -> None:
        if not _is_utf8(path):
            left_out(path, "its name is not UTF-8")
            return
        checked.count(path, blob.size)
        found[path] = blob

    for path, blob in tree.files.items():
        inner = path[len(prefix) :]
        if path.startswith(prefix) and not is_hidden(inner):
            add(inner, blob)
    for link in tree.links:
        inner = link[len(prefix) :]
        if not link.startswith(prefix) or is_hidden(inner):
            continue
        target = _resolved(tree, link)
        if (
            target is None
            or not f"{target}/".startswith(prefix)
            or is_hidden(target[len(prefix) :])
        ):
            left_out(inner, "the link leads out of the folder, or nowhere")
        elif target in tree.files:
            add(inner, tree.files[target])
        elif f"{link}/".startswith(f"{target}/"):
            left_out(inner, "the link leads to a folder that it lies in")
        else:
            for path, blob in tree.files.items():
                if path.startswith(f"{target}/"):
                    beneath = path[len(target) + 1 :]
                    if not is_hidden(f"{inner}/{beneath}"):
                        add(f"{inner}/{beneath}", blob)
    return found


def _followed(link: str, work: Path | None) -> str:
    """Where a link leads to, also one that was made with the path that the build has inside."""
    target = os.readlink(link)
    if work is not None and target.startswith(f"{WORKSPACE}/"):
        return os.path.realpath(work / os.path.relpath(target, WORKSPACE))
    return os.path.realpath(link)


def _resolved(tree: GitTree, link: str) -> str | None:
    """Where a link ends up within the tree; `None`: outside, or nowhere."""
    folders = {posixpath.dirname(path) for path in tree.files}
    path = link
    for _ in range(_MOST_LINKS):
        if path not in tree.links:
            break
        target = tree.target(path)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if path.startswith(("/", "..")):
            return None
    is_folder = any(folder == path or folder.startswith(f"{path}/") for folder in folders)
    return path if path in tree.files or is_folder else None


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _size(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024  # type: ignore[assignment]
    return f"{size:.4g} GB"
