"""Where fetched programs are kept: each whole, in a folder of its own, written once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bot.errors import SystemFault

_PATIENCE = 600  # seconds for one download
# Settings of the bot that may hold passwords: no business of pip's or npm's.
_OURS = re.compile(r"^(?:GITHUB_|DATABASE_URL$|QUEUE_URL$|STORAGE_URL$|CACHE_URL$)")


class ToolchainStore:
    """The folder `root`. `environ` is the environment in which pip and npm are configured.

    Several builds may use it at once, in several processes.
    """

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = dict(environ)

    def make_once(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of that name; where it is missing, `make` fills a draft of it.

        Others who want it meanwhile wait.
        """
        target = self.root / name
        if target.is_dir():
            return target
        self.root.mkdir(parents=True, exist_ok=True)
        with _lock(self.root / f".{name}.lock"):
            if not target.is_dir():
                with tempfile.TemporaryDirectory(dir=self.root, prefix=".draft-") as draft:
                    whole = Path(draft, "whole")
                    whole.mkdir()
                    make(whole)
                    whole.rename(target)
        return target

    def run(self, argv: tuple[str, ...], code: str, path_entries: tuple[Path, ...] = ()) -> str:
        """Run a program that the operator trusts; answers what it printed.

        Raises `SystemFault` with that code, and what the program said.
        """
        environment = {k: v for k, v in self.environ.items() if not _OURS.match(k)}
        path = (*map(str, path_entries), environment.get("PATH", os.defpath))
        environment["PATH"] = os.pathsep.join(path)
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                argv,
                env=environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SystemFault(code, f"{argv[0]} failed: {error}") from error
        if done.returncode != 0:
            words = f"{done.stdout}\n{done.stderr}".strip()[-2000:]
            raise SystemFault(code, f"{' '.join(argv[:4])} failed: {words}")
        return done.stdout


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
