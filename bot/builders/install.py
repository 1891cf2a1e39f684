"""Brings a project's dependencies in: restored where they are known, else installed.

What was installed for a lockfile is kept whole and shown to later builds as an overlay
(or a copy, where the runner has no overlays), so that no build can write into what
others will get. It is not in charge of which command installs: the plan says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bot.builders.bounds import bounded
from bot.builders.cache import Caches, CacheScope, copy, move, plain_folder
from bot.builders.commands import ENVIRONMENT, SYSTEM_PATH, run_step
from bot.builders.dependency_key import Dependencies, dependencies_of
from bot.builders.job import Control
from bot.builders.plan import PYTHON, UV, Plan, Step
from bot.builders.registries import registries
from bot.builders.sandbox.account import hand_over
from bot.builders.sandbox.runner import Command, Limits, Overlay, Runner
from bot.builders.toolchain import Toolchain, Toolchains
from bot.builders.variables import NONE, Variables
from bot.settings import Settings

_LIST = "folders.json"
# More overlays than this are slower to mount than their folders are to copy.
_MANY = 16
# What frameworks keep between builds, relative to the project's folder.
FRAMEWORK_CACHES = (
    ".angular/cache",
    ".astro",
    ".next/cache",
    ".parcel-cache",
    ".turbo",
    ".vitepress/cache",
    "node_modules/.astro",
    "node_modules/.cache",
    "node_modules/.vite",
)
# What Turborepo and Nx keep, relative to the workspace's root.
_WORKSPACE_CACHES = (".nx", ".turbo", "node_modules/.cache")
# `prefer-offline` is not among them: npm would fail on a version that was published
# since it last asked. https://docs.npmjs.com/cli/using-npm/config , https://pnpm.io/settings ,
# https://yarnpkg.com/configuration/yarnrc , https://classic.yarnpkg.com/docs/envvars ,
# https://bun.com/docs/pm/global-cache
_OWN: Mapping[str, Mapping[str, str]] = {
    "npm": {
        "npm_config_audit": "false",
        "npm_config_cache": "{downloads}",
        "npm_config_fund": "false",
        "npm_config_progress": "false",
        "npm_config_update_notifier": "false",
    },
    "pnpm": {
        "npm_config_cache_dir": "{downloads}/cache",
        "npm_config_manage_package_manager_versions": "false",
        "npm_config_store_dir": "{downloads}/store",
        "npm_config_update_notifier": "false",
    },
    "yarn 1": {"YARN_CACHE_FOLDER": "{downloads}"},
    # Later Yarns may run programs straight out of the cache: it has to lie in the tree.
    "yarn": {
        "YARN_ENABLE_GLOBAL_CACHE": "false",
        "YARN_ENABLE_MIRROR": "true",
        "YARN_ENABLE_TELEMETRY": "false",
        "YARN_GLOBAL_FOLDER": "{downloads}",
    },
    "bun": {"BUN_INSTALL_CACHE_DIR": "{downloads}"},
    # Copies: an environment is kept by itself, and must not change when the cache does.
    "uv": {
        "UV_CACHE_DIR": "{downloads}",
        "UV_LINK_MODE": "copy",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    },
}


@dataclass(frozen=True, kw_only=True)
class Installed:
    """How later commands of the build see what was installed."""

    overlays: tuple[Overlay, ...] = ()
    restored: bool = False


class Installer:
    """Installs for builds; several at once, from as many threads."""

    def __init__(self, settings: Settings, toolchains: Toolchains, runner: Runner) -> None:
        self._settings = settings
        self._toolchains = toolchains
        self._runner = runner
        self.caches = Caches(settings.DATA_DIR / "caches", settings.CACHE_SIZE)

    @contextlib.contextmanager
    def install(
        self,
        tree: Path,
        plan: Plan,
        toolchain: Toolchain,
        scope: CacheScope,
        control: Control,
        limits: Limits,
        variables: Variables = NONE,
        *,
        fresh: bool = False,
    ) -> Iterator[Installed]:
        """Have the dependencies in place for as long as the block runs.

        `tree` is the checked-out tree, alone with what else belongs to the build in its
        parent folder. All commands in the block must be given `Installed.overlays`.
        Frameworks' own caches are restored, and kept when the block ends. `fresh`: nothing is
        restored, and what is installed takes the place of what was kept. Raises
        `UserError` where the install fails, `Stopped`, `SystemFault`.
        """
        attempt = _Install(self, tree, plan, toolchain, scope, control, limits, variables, fresh)
        with contextlib.ExitStack() as held:
            installed = attempt.run(held)
            taken = attempt.restore_framework_caches(installed)
            try:
                yield installed
            finally:
                attempt.keep_framework_caches(installed, taken)


class _Install:
    """One build's install."""

    def __init__(
        self,
        installer: Installer,
        tree: Path,
        plan: Plan,
        toolchain: Toolchain,
        scope: CacheScope,
        control: Control,
        limits: Limits,
        variables: Variables,
        fresh: bool,
    ) -> None:
        self._fresh = fresh
        self._variables = variables
        self._settings = bounded(installer._settings, plan.limits)
        self._runner = installer._runner
        self._caches = installer.caches
        self._registries = installer._toolchains.store.root / "registries"
        self._environ = installer._toolchains.store.environ
        self._tree = tree
        self._plan = plan
        self._toolchain = toolchain
        self._scope = scope
        self._control = control
        self._deadline = time.monotonic() + limits.seconds
        self._limits = limits

    def run(self, held: contextlib.ExitStack) -> Installed:
        hand_over(self._tree)
        wanted = Dependencies(key="", scripts=())
        if self._plan.package_manager:
            wanted = dependencies_of(self._tree, self._plan, self._toolchain, self._variables)
        if wanted.key:
            started = time.monotonic()
            installed = None if self._fresh else self._restore(wanted.key, held)
            if installed is not None:
                seconds = time.monotonic() - started
                self._control.log.say(f"Dependencies restored in {seconds:.2f} s")
                self._run_scripts(wanted, installed.overlays)
                return installed
        for step in self._plan.steps:
            if step.name == "install":
                self._command(step, ())
        return self._keep(wanted.key, held) if wanted.key else Installed()

    def _restore(self, key: str, held: contextlib.ExitStack) -> Installed | None:
        entry = held.enter_context(self._caches.borrow("modules", self._scope, key))
        if entry is None:
            return None
        folders: list[str] = json.loads((entry / _LIST).read_text())
        overlays = []
        for number, relative in enumerate(folders):
            target = self._tree / relative
            if self._plan.package_manager == UV:
                self._make_room(target.parent)
            parent = plain_folder(self._tree, str(Path(relative).parent))
            if parent is None or target.exists() or target.is_symlink():
                continue
            if self._runner.overlays and len(folders) <= _MANY:
                overlays.append(self._overlay(entry / str(number), target, number))
            else:
                copy(entry / str(number), target)
        return Installed(overlays=tuple(overlays), restored=True)

    def _make_room(self, folder: Path) -> None:
        """The folder above an environment, which no repository has."""
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            hand_over(folder)

    def _overlay(self, source: Path, target: Path, number: int) -> Overlay:
        changes = self._tree.parent / "changes" / str(number)
        for folder in (changes, changes / "upper", changes / "work", target):
            folder.mkdir(parents=True)
            hand_over(folder)
        return Overlay(source=source, target=target, changes=changes)

    def _keep(self, key: str, held: contextlib.ExitStack) -> Installed:
        """Put what was installed into the cache, and show it from there."""
        if self._plan.package_manager == UV:
            folders = [os.path.normpath(f"{self._plan.root}/{PYTHON}")]
        else:
            folders = _module_folders(self._tree)
        if not folders:
            return Installed()
        draft = self._tree.parent / "kept"
        draft.mkdir()
        overlaid = self._runner.overlays and len(folders) <= _MANY
        for number, relative in enumerate(folders):
            bring = move if overlaid else copy
            bring(self._tree / relative, draft / str(number))
        (draft / _LIST).write_text(json.dumps(folders))
        self._caches.put("modules", self._scope, key, draft, replace=self._fresh)
        self._caches.trim()
        if not overlaid:
            return Installed()
        installed = self._restore(key, held)
        if installed is None:  # thrown away already: the bound is smaller than this
            self._control.log.say("The dependencies are too large to keep; installing again")
            for step in self._plan.steps:
                if step.name == "install":
                    self._command(step, ())
        return Installed(overlays=installed.overlays) if installed else Installed()

    def _run_scripts(self, wanted: Dependencies, overlays: tuple[Overlay, ...]) -> None:
        usual = self._plan.step("install")
        network = usual.network if usual is not None else self._plan.network != "none"
        for folder, script in wanted.scripts:
            argv = (self._plan.package_manager, "run", script)
            step = Step(name="install", argv=argv, network=network, folder=folder)
            self._command(step, overlays)

    def _command(self, step: Step, overlays: tuple[Overlay, ...]) -> None:
        home = self._tree.parent / "home"
        home.mkdir(exist_ok=True)
        # An install script of anybody who may push could publish what it is given.
        shared = self._settings.SHARE_REGISTRY_CREDENTIALS and self._scope.trusted
        reach = registries(self._registries, trusted=shared, environ=self._environ)
        manager = self._plan.package_manager or "other"
        if self._toolchain.manager.startswith("yarn 1."):
            manager = "yarn 1"
        downloads = self._caches.folder("downloads", self._scope, manager.replace(" ", "-"))
        command = Command(
            argv=step.argv,
            folder=self._tree / self._plan.folder_of(step),
            environment=self._variables.around(
                {
                    **install_environment(manager, self._toolchain, home, downloads),
                    **reach.environment,
                },
                self._plan.environment,
            ),
            writable=(self._tree, home, downloads),
            readable=(*self._toolchain.readable, *reach.readable),
            overlays=overlays,
            network=step.network,
            root=self._tree.parent,
        )
        left = replace(self._limits, seconds=max(self._deadline - time.monotonic(), 0.1))
        run_step(self._runner, step, command, left, self._control, self._settings)

    def restore_framework_caches(self, installed: Installed) -> list[str]:
        """Bring in what frameworks left in earlier builds; answers which may be kept again."""
        free = []
        for relative in self._framework_caches():
            target = self._place_of(relative, installed)
            if target is None or target.exists() or target.is_symlink():
                continue
            free.append(relative)
            if self._fresh:
                continue
            made = not target.parent.exists()
            if made:
                target.parent.mkdir()
            key = self._framework_key(relative)
            if self._caches.take("frameworks", self._scope, key, target):
                hand_over(target.parent)
            elif made:
                target.parent.rmdir()
        return free

    def keep_framework_caches(self, installed: Installed, free: list[str]) -> None:
        for relative in free:
            target = self._place_of(relative, installed)
            if target is None or target.is_symlink() or not target.is_dir():
                continue
            key = self._framework_key(relative)
            self._caches.put("frameworks", self._scope, key, target, replace=True)

    def _framework_caches(self) -> Iterator[str]:
        """Folders within the tree."""
        for relative in FRAMEWORK_CACHES:
            yield os.path.normpath(os.path.join(self._plan.root, relative))
        if self._plan.workspace:
            for relative in _WORKSPACE_CACHES:
                yield os.path.normpath(os.path.join(self._plan.workspace, relative))

    def _framework_key(self, relative: str) -> str:
        return relative.replace("/", "-")

    def _place_of(self, relative: str, installed: Installed) -> Path | None:
        """Where a folder of the project really lies; None where a link is on the way there."""
        wanted = self._tree / relative
        base = self._tree
        for overlay in installed.overlays:
            if wanted.is_relative_to(overlay.target):
                inside = wanted.relative_to(overlay.target)
                if (overlay.source / inside).exists():
                    return None
                base, wanted = overlay.changes, overlay.changes / "upper" / inside
                break
        above = wanted.parent if wanted.parent.exists() else wanted.parent.parent
        if wanted.parent.is_symlink() or plain_folder(base, str(above.relative_to(base))) is None:
            return None
        return wanted


def install_environment(
    manager: str, toolchain: Toolchain, home: Path, downloads: Path
) -> Mapping[str, str]:
    """Variables that make a package manager quick, quiet and content with `downloads`."""
    path = (*(str(entry) for entry in toolchain.path_entries), *SYSTEM_PATH)
    own = {name: value.format(downloads=downloads) for name, value in _OWN.get(manager, {}).items()}
    return {
        **ENVIRONMENT,
        **toolchain.environment,
        **own,
        "HOME": str(home),
        "PATH": ":".join(path),
    }


def _module_folders(tree: Path) -> list[str]:
    """Every outermost node_modules in the tree, relative to it."""
    found = []
    for folder, folders, _ in os.walk(tree):
        if "node_modules" in folders:
            path = Path(folder, "node_modules")
            if not path.is_symlink():
                found.append(path.relative_to(tree).as_posix())
        folders[:] = [name for name in folders if name not in {"node_modules", ".git"}]
    return sorted(found)
