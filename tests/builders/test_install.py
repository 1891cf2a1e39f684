"""Installing with real npm, in each runner: what is restored, and what nobody can poison."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.builders.cache import CacheScope
from bot.builders.install import Installed, Installer
from bot.builders.job import Control, Stopped
from bot.builders.plan import Plan, Step
from bot.builders.sandbox.bubblewrap import Bubblewrap
from bot.builders.sandbox.control_group import find_control_groups
from bot.builders.sandbox.process import ProcessRunner
from bot.builders.sandbox.runner import Command, Limits, Runner
from bot.builders.sandbox.select import try_out
from bot.builders.toolchain import Toolchains
from bot.errors import UserError
from bot.settings import Settings
from tests.builders.conftest import ListLog
from tests.programs import require_program

TRUSTED = CacheScope(project="owner/name", trusted=True)
FORK = CacheScope(project="owner/name", trusted=False)
LIMITS = Limits(seconds=60, memory=1 << 30, processes=200, disk=1 << 28, log=1 << 20)


def package_archive(content: str) -> bytes:
    """An npm package `dep`, as npm would publish it."""
    data = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=data, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, text in (
            ("package/package.json", '{"name": "dep", "version": "1.0.0"}'),
            ("package/index.js", content),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def site(content: str = "first", **package: Any) -> dict[str, bytes]:
    """A project with one dependency, which comes with it: no registry is asked."""
    archive = package_archive(content)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    dependencies = {"dep": "file:dep.tgz"}
    lock = {
        "name": "site",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {
            "": {"name": "site", "dependencies": dependencies},
            "node_modules/dep": {
                "version": "1.0.0",
                "resolved": "file:dep.tgz",
                "integrity": integrity,
            },
        },
    }
    return {
        "dep.tgz": archive,
        "package-lock.json": json.dumps(lock).encode(),
        "package.json": json.dumps(
            {"name": "site", "dependencies": dependencies} | package
        ).encode(),
    }


@dataclass
class Workshop:
    """An installer, and builds of a project one after the other."""

    settings: Settings
    runner: Runner
    installer: Installer
    toolchains: Toolchains
    log: ListLog
    cancelled: threading.Event
    count: int = 0

    @contextlib.contextmanager
    def build(
        self, files: dict[str, bytes], scope: CacheScope = TRUSTED
    ) -> Iterator[tuple[Path, Installed]]:
        self.count += 1
        self.log.lines.clear()
        work = self.settings.WORK_DIR / f"build-{self.count}"
        tree = work / "tree"
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(content)
        plan = Plan(
            framework="x",
            reason="y",
            package_manager="npm",
            steps=(Step(name="install", argv=("npm", "ci")),),
        )
        control = Control(
            log=self.log,
            entering=lambda _: None,
            framework=lambda _: None,
            cancelled=self.cancelled,
        )
        toolchain = self.toolchains.provide(plan, self.log)
        try:
            with self.installer.install(tree, plan, toolchain, scope, control, LIMITS) as installed:
                yield tree, installed
        finally:
            shutil.rmtree(work)

    def shell(self, tree: Path, installed: Installed, script: str) -> str:
        """What a build command of the project prints."""
        pieces: list[bytes] = []
        command = Command(
            argv=("/bin/sh", "-c", script),
            folder=tree,
            writable=(tree,),
            overlays=installed.overlays,
        )
        finished = self.runner.run(command, LIMITS, pieces.append, threading.Event())
        printed = b"".join(pieces).decode()
        assert finished.succeeded, printed
        return printed

    @property
    def commands(self) -> list[str]:
        return [line for line in self.log.lines if line.startswith("$ ")]


@pytest.fixture(params=["bubblewrap", "bubblewrap without overlays", "process"])
def workshop(
    request: pytest.FixtureRequest, make_settings: Callable[..., Settings]
) -> Iterator[Workshop]:
    require_program("npm")
    # Not below pytest's own folders, which the process runner's account cannot enter.
    place = Path(tempfile.mkdtemp(prefix="workshop-"))
    place.chmod(0o755)
    settings = make_settings(DATA_DIR=place / "data")
    runner: Runner
    if request.param == "process":
        runner = ProcessRunner(find_control_groups())
    else:
        require_program("bwrap")
        runner = Bubblewrap(find_control_groups())
        try_out(runner, settings.WORK_DIR)
    if "without" in request.param:
        runner.overlays = False
    toolchains = Toolchains(settings.DATA_DIR / "toolchains")
    installer = Installer(settings, toolchains, runner)
    yield Workshop(settings, runner, installer, toolchains, ListLog(), threading.Event())
    shutil.rmtree(place)


def test_the_second_build_gets_its_dependencies_without_installing(workshop: Workshop) -> None:
    with workshop.build(site()) as (tree, installed):
        assert workshop.commands == ["$ npm ci"]
        assert not installed.restored
        assert workshop.shell(tree, installed, "cat node_modules/dep/index.js") == "first"
    with workshop.build(site(version="2.0.0")) as (tree, installed):
        assert workshop.commands == []
        assert installed.restored
        assert workshop.shell(tree, installed, "cat node_modules/dep/index.js") == "first"


def test_another_lockfile_is_installed_anew(workshop: Workshop) -> None:
    with workshop.build(site()):
        pass
    with workshop.build(site("second")) as (tree, installed):
        assert workshop.commands == ["$ npm ci"]
        assert workshop.shell(tree, installed, "cat node_modules/dep/index.js") == "second"


def test_no_build_writes_through_to_what_later_builds_get(workshop: Workshop) -> None:
    script = "echo poisoned > node_modules/dep/index.js; rm node_modules/dep/package.json"
    script += "; touch node_modules/new; chmod 700 node_modules/dep"
    for _ in range(2):  # in the build that installed, and in one that restored
        with workshop.build(site()) as (tree, installed):
            workshop.shell(tree, installed, script)
    with workshop.build(site()) as (tree, installed):
        assert workshop.shell(tree, installed, "cat node_modules/dep/index.js") == "first"
        found = workshop.shell(tree, installed, "ls node_modules node_modules/dep")
        assert "new" not in found
        assert "package.json" in found


def test_a_fork_gets_what_trusted_builds_installed_and_leaves_nothing_for_them(
    workshop: Workshop,
) -> None:
    with workshop.build(site(), TRUSTED):
        pass
    with workshop.build(site(), FORK) as (tree, installed):
        assert installed.restored
        workshop.shell(tree, installed, "echo poisoned > node_modules/dep/index.js")
    with workshop.build(site("by the fork"), FORK):
        assert workshop.commands == ["$ npm ci"]
    with workshop.build(site("by the fork"), FORK) as (_, installed):
        assert installed.restored
    with workshop.build(site("by the fork"), TRUSTED) as (_, installed):
        assert not installed.restored
    with workshop.build(site(), TRUSTED) as (tree, installed):
        assert workshop.shell(tree, installed, "cat node_modules/dep/index.js") == "first"


def test_the_projects_own_install_scripts_run_every_time(workshop: Workshop) -> None:
    files = site(scripts={"postinstall": "cp message node_modules/dep/message"})
    with workshop.build(files | {"message": b"one"}) as (tree, installed):
        assert workshop.shell(tree, installed, "cat node_modules/dep/message") == "one"
    with workshop.build(files | {"message": b"two"}) as (tree, installed):
        assert workshop.commands == ["$ npm run postinstall"]
        assert workshop.shell(tree, installed, "cat node_modules/dep/message") == "two"


def test_frameworks_find_their_caches_again_and_forks_only_read_them(workshop: Workshop) -> None:
    fill = "mkdir -p .next/cache node_modules/.vite; echo {0} > .next/cache/a"
    fill += "; echo {0} > node_modules/.vite/b"
    show = "cat .next/cache/a node_modules/.vite/b"
    with workshop.build(site()) as (tree, installed):
        workshop.shell(tree, installed, fill.format("one"))
    with workshop.build(site(), FORK) as (tree, installed):
        assert workshop.shell(tree, installed, show) == "one\none\n"
        workshop.shell(tree, installed, fill.format("poisoned"))
    with workshop.build(site()) as (tree, installed):
        assert workshop.shell(tree, installed, show) == "one\none\n"
        workshop.shell(tree, installed, fill.format("two"))
    with workshop.build(site()) as (tree, installed):
        assert workshop.shell(tree, installed, show) == "two\ntwo\n"


def test_a_build_that_fails_leaves_the_frameworks_caches_for_the_next(workshop: Workshop) -> None:
    with workshop.build(site()) as (tree, installed):
        workshop.shell(tree, installed, "mkdir -p .next/cache; echo kept > .next/cache/a")
    with pytest.raises(UserError), workshop.build(site()):
        raise UserError("build-failed", "It failed.")
    with workshop.build(site()) as (tree, installed):
        assert workshop.shell(tree, installed, "cat .next/cache/a") == "kept\n"


def test_a_link_in_place_of_a_cache_brings_nothing_out(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "secret").write_text("do-not-take")
    with workshop.build(site()) as (tree, installed):
        script = f"ln -s {tmp_path} .next; ln -s {tmp_path}/cache node_modules/.vite"
        workshop.shell(tree, installed, script + f"; ln -s {tmp_path}/cache .turbo")
    assert (tmp_path / "cache" / "secret").exists()
    with workshop.build(site()) as (tree, installed):
        assert workshop.shell(tree, installed, "ls -A . node_modules").count("secret") == 0
        assert not (tree / ".next").exists()
        assert not (tree / ".turbo").is_symlink()


def test_a_link_in_the_sources_is_not_written_through(workshop: Workshop, tmp_path: Path) -> None:
    with workshop.build(site()) as (tree, installed):
        workshop.shell(tree, installed, "mkdir -p .next/cache; echo kept > .next/cache/a")
    workshop.count += 1
    tree = workshop.settings.WORK_DIR / f"build-{workshop.count + 1}" / "tree"
    tree.mkdir(parents=True)
    (tree / ".next").symlink_to(tmp_path)
    with workshop.build(site()):
        assert list(tmp_path.glob("cache*")) == []


def test_a_lockfile_that_does_not_fit_is_explained(workshop: Workshop) -> None:
    files = site(dependencies={"dep": "file:dep.tgz", "other": "^1.0.0"})
    with pytest.raises(UserError) as caught, workshop.build(files):
        pass
    assert caught.value.code == "install-failed"
    assert "lockfile" in caught.value.hint


def test_a_failed_install_is_not_kept(workshop: Workshop) -> None:
    files = site(scripts={"postinstall": "test -e fixed"})
    with pytest.raises(UserError), workshop.build(files):
        pass
    with workshop.build(files | {"fixed": b""}):
        assert workshop.commands == ["$ npm ci"]


def test_a_cancelled_install_stops(workshop: Workshop) -> None:
    workshop.cancelled.set()
    with pytest.raises(Stopped), workshop.build(site()):
        pass


def test_dependencies_that_are_too_large_to_keep_are_installed_each_time(
    workshop: Workshop,
) -> None:
    workshop.installer.caches._size = 0
    for _ in range(2):
        with workshop.build(site()) as (tree, installed):
            assert "$ npm ci" in workshop.commands
            assert workshop.shell(tree, installed, "cat node_modules/dep/index.js") == "first"


def test_several_builds_install_the_same_at_once(workshop: Workshop) -> None:
    together = threading.Barrier(3)
    printed: list[str] = []

    def run(number: int) -> None:
        own = Workshop(
            workshop.settings,
            workshop.runner,
            workshop.installer,
            workshop.toolchains,
            ListLog(),
            threading.Event(),
            count=number * 100,
        )
        together.wait(30)
        with own.build(site()) as (tree, installed):
            printed.append(own.shell(tree, installed, "cat node_modules/dep/index.js"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert printed == ["first"] * 3


def test_the_operators_passwords_reach_no_build(workshop: Workshop, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".npmrc").write_text("//registry.example/:_authToken=do-not-show\n")
    workshop.toolchains.store.environ["HOME"] = str(home)
    show = 'cat "$NPM_CONFIG_USERCONFIG" > seen; env >> seen'
    files = site(scripts={"postinstall": show})
    sharing = replace(workshop.settings, SHARE_REGISTRY_CREDENTIALS=True)
    shared = Installer(sharing, workshop.toolchains, workshop.runner)
    for installer, scope, seen in (
        (workshop.installer, TRUSTED, False),
        (shared, FORK, False),
        (shared, TRUSTED, True),
    ):
        workshop.installer = installer
        workshop.count += 1
        changed = files | {"package-lock.json": files["package-lock.json"] + b"\n" * workshop.count}
        with workshop.build(changed, scope) as (tree, _):
            assert ("do-not-show" in (tree / "seen").read_text()) is seen
