"""Python, in the version that a project asks for, of those that the machine has; and uv.

Nothing is downloaded but packages: a version that is not there is refused in words. uv
makes the environments and fills them, and comes with the bot.
https://docs.astral.sh/uv/pip/environments/
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from bot.builders.job import BuildLog
from bot.builders.toolchain_store import ToolchainStore
from bot.errors import UserError

_ASK = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.base_prefix)"
_OLDEST = Version("3.8")  # that packages' tools still know


@dataclass(frozen=True, kw_only=True)
class Python:
    """One interpreter; `readable` is what a build has to see of it besides /usr."""

    version: str
    program: Path
    readable: tuple[Path, ...] = ()


class Pythons:
    """The interpreters of this machine, looked for once in each process."""

    def __init__(self, store: ToolchainStore) -> None:
        self._store = store
        self._found: tuple[Python, ...] | None = None
        self._guard = threading.Lock()

    def choose(self, asked: str, log: BuildLog) -> Python:
        """The system's own where it will do, else the newest that does.

        `asked` is what the project wrote: `3.12`, `3.12.1`, `>=3.10`; empty: any. Raises
        `UserError`, listing what there is, where none will do.
        """
        there = self._there()
        wanted = as_specifiers(asked)
        if wanted is None:
            log.say(f"Not a version of Python: {asked!r}; taking any")
            wanted = SpecifierSet()
        fitting = [python for python in there if python.version in wanted]
        exact = re.fullmatch(r"(?:==)?(\d+\.\d+)\.\d+", asked)
        if not fitting and exact:
            fitting = [p for p in there if p.version in SpecifierSet(f"=={exact[1]}.*")]
            if fitting:
                log.say(f"Python {asked} is not on this machine; taking {fitting[0].version}")
        if fitting:
            return fitting[0]
        raise UserError(
            "python-version-unavailable",
            f"Python {asked!r} is not on this machine.",
            f"There is: {', '.join(python.version for python in there) or 'none'}. Ask for one "
            "of them in .python-version, in runtime.txt, or in `build.python` of "
            "deploystack.toml.",
        )

    def _there(self) -> tuple[Python, ...]:
        with self._guard:
            if self._found is None:
                self._found = pythons_of(self._store.environ)
            return self._found


def as_specifiers(asked: str) -> SpecifierSet | None:
    """What a project wrote, as a set of versions; None where nobody could know."""
    text = asked.strip()
    bare = re.fullmatch(r"(?:cpython[-@])?(\d+(?:\.\d+){0,2})", text)
    if bare:
        text = f"=={bare[1]}" if bare[1].count(".") == 2 else f"=={bare[1]}.*"
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


def pythons_of(environ: Mapping[str, str]) -> tuple[Python, ...]:
    """Every interpreter that runs: those in /usr first, then the newest."""
    found: dict[str, Python] = {}
    for program in _candidates(environ):
        python = _ask(program)
        if python is not None and Version(python.version) >= _OLDEST:
            found.setdefault(python.version, python)
    newest_first = sorted(found.values(), key=lambda p: Version(p.version), reverse=True)
    return tuple(sorted(newest_first, key=lambda python: bool(python.readable)))


def provide_uv(store: ToolchainStore) -> Path:
    """A folder with `bin/uv` that builds may be shown: the bot's own may lie anywhere."""
    program = Path(uv.find_uv_bin())
    about = program.stat()

    def bring(draft: Path) -> None:
        (draft / "bin").mkdir()
        shutil.copy(program, draft / "bin" / "uv")

    return store.make_once(f"uv-{about.st_size:x}-{int(about.st_mtime):x}", bring)


def _candidates(environ: Mapping[str, str]) -> Iterable[Path]:
    versions = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [Path("/usr/bin"), Path("/usr/local/bin"), Path(sys.base_prefix, "bin")]
    folders += map(Path, environ.get("PATH", os.defpath).split(os.pathsep))
    folders += sorted(versions.glob("*/bin"))
    for folder in dict.fromkeys(folders):
        if folder.name == "shims" or (folder.parent / "pyvenv.cfg").exists():
            continue
        with contextlib.suppress(OSError):
            for program in sorted(folder.glob("python3*")):
                if re.fullmatch(r"python3(?:\.\d+)?", program.name):
                    yield program


def _ask(program: Path) -> Python | None:
    argv = (str(program), "-I", "-c", _ASK)
    try:
        said = subprocess.run(
            argv, capture_output=True, text=True, check=True, timeout=20, env={}
        ).stdout
        version, prefix = said.split("\n")[:2]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    readable = () if Path(prefix).is_relative_to("/usr") else (Path(prefix),)
    return Python(version=version, program=program, readable=readable)
