"""The director: takes one build from a commit (or a folder) to a published deployment.

It decides the order and times each stage. It is not in charge of the database, of
whether the build is still wanted (`Control` says so), or of what anybody is told.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.builders import configured, ignored, output, publish, unchanged
from bot.builders.absolute_urls import AbsoluteUrls
from bot.builders.bounds import beyond, bounded
from bot.builders.cache import CacheScope
from bot.builders.commands import Commands, assure_programs
from bot.builders.install import Installer
from bot.builders.job import Built, Control, Ignored, Job, Origin, Stage
from bot.builders.leaks import LeakGate, own_secrets
from bot.builders.network_policy import assure_confined, narrowed
from bot.builders.plan import Plan
from bot.builders.sandbox.control_group import remove_leftovers
from bot.builders.sandbox.runner import Runner
from bot.builders.sandbox.select import select_runner
from bot.builders.source import Repositories, Source, TokenFor
from bot.builders.toolchain import Toolchains
from bot.builders.tree import FolderTree, Tree
from bot.builders.work_folder import WorkFolders
from bot.errors import SystemFault, UserError
from bot.settings import Settings
from bot.storage.manifest import Entry
from bot.storage.store import NotPublished, Store


def create_pipeline(settings: Settings, store: Store, token_for: TokenFor) -> Pipeline:
    """The pipeline with the parts that the settings ask for."""
    runner = select_runner(settings)
    repositories = Repositories(
        settings.DATA_DIR / "mirrors", token_for, seconds=settings.BUILD_TIMEOUT
    )
    toolchains = Toolchains(settings.DATA_DIR / "toolchains")
    installer = Installer(settings, toolchains, runner)
    return Pipeline(settings, store, repositories, runner, toolchains, installer)


@dataclass
class _Stages:
    """The seconds that each stage of one build took."""

    control: Control
    seconds: dict[Stage, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        self.control.entering(stage)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0) + time.monotonic() - started


class Pipeline:
    """Runs builds; several at once, from as many threads."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        repositories: Repositories,
        runner: Runner,
        toolchains: Toolchains,
        installer: Installer,
    ) -> None:
        self._settings = settings
        self._store = store
        self._repositories = repositories
        self._runner = runner
        self._toolchains = toolchains
        self._installer = installer
        self._work_folders = WorkFolders(settings.WORK_DIR)

    def run(self, job: Job, control: Control) -> Built:
        """Deploy a commit. Raises `UserError`, `SystemFault` or `Stopped`."""
        stages = _Stages(control)
        with contextlib.ExitStack() as open_source:
            with stages(Stage.FETCH):
                source = open_source.enter_context(self._fetch(job, job.sha, control))
                control.log.say(f"Fetched {job.sha[:7]} in {source.seconds:.2f} s")
                plan = self._plan(source.tree, job, control)
                changed = self._changed(source, plan, job, control)
                origin = unchanged.origin_of(source, plan, job)
            if not plan.steps and not source.tree.submodules and not plan.ignore_command:
                with stages(Stage.PUBLISH):
                    files = self._store_commit(source, plan, job, control)
                    return self._publish(files, plan, job, control, stages, origin)
            if reused := self._reuse(plan, job, control, stages, origin):
                return reused
            with self._work_folders.open(job.build_id) as work:
                with stages(Stage.CHECKOUT):
                    source.export(work / "tree")
                open_source.close()
                if plan.ignore_command and not job.fresh:
                    commands = Commands(self._bounded(plan), self._runner, work, control)
                    if commands.ignores(plan, job, changed):
                        raise Ignored("ignore.command ended with 0: not built")
                return self._build(work, plan, job, control, stages, origin)

    def run_folder(self, folder: Path, job: Job, control: Control) -> Built:
        """Deploy an unpacked upload, whose files are given up to the store."""
        stages = _Stages(control)
        with stages(Stage.FETCH):
            tree = FolderTree(folder)
            plan = self._plan(tree, job, control)
            origin = Origin(lockfile=unchanged.lockfile_digest(tree, plan))
        with self._work_folders.open(job.build_id) as work:
            with stages(Stage.CHECKOUT):
                shutil.move(folder, work / "tree")
            return self._build(work, plan, job, control, stages, origin)

    def tidy(self) -> None:
        """Housekeeping that no build should wait for: now and then, from anywhere."""
        self._repositories.tidy()
        self._work_folders.tidy()
        remove_leftovers()

    def settle(self) -> None:
        """Wait until nothing is left of the builds that have ended."""
        self._work_folders.settle()

    def _fetch(
        self, job: Job, sha: str, control: Control
    ) -> contextlib.AbstractContextManager[Source]:
        return self._repositories.fetch(
            job.repository,
            self._settings.clone_url(job.repository),
            sha,
            control.log,
            control.cancelled,
            trusted=job.trusted,
            pull_request=job.pull_request,
        )

    def _changed(self, source: Source, plan: Plan, job: Job, control: Control) -> list[str]:
        """What differs from the commit of the branch's page; all there is, where it has none.

        Raises `Ignored` where the project's rules name every bit of it.
        """
        if not (plan.ignored_paths or plan.ignore_command) or job.fresh:
            return []  # nobody asks
        everything = sorted(source.tree.files)
        if not job.built or job.built == job.sha:
            return everything
        try:
            with self._fetch(job, job.built, control) as earlier:
                changed = ignored.changed_paths(earlier.tree, source.tree)
        except UserError as error:  # rewritten away since
            control.log.say(f"Nothing to compare with: {error.message}")
            return everything
        if plan.ignored_paths and ignored.all_ignored(changed, plan.ignored_paths):
            raise Ignored(
                f"ignore.paths names all {len(changed)} files that changed since {job.built[:7]}: "
                "not built"
            )
        return changed

    def _reuse(
        self, plan: Plan, job: Job, control: Control, stages: _Stages, origin: Origin
    ) -> Built | None:
        """Publish the output of an earlier build of the same, if there is one."""
        earlier = job.earlier(origin.fingerprint) if origin.fingerprint else None
        if earlier is None or job.fresh:
            return None
        toolchain = self._toolchains.provide(plan, control.log)
        if unchanged.tools_of(toolchain, plan) != earlier.tools:
            return None
        try:
            manifest = self._store.manifest(earlier.deployment_id)
        except NotPublished:
            return None
        with stages(Stage.REUSE):
            control.log.say(
                f"Nothing that the build reads has changed since {earlier.sha[:7]}: "
                "its output is published again"
            )
            again = replace(origin, tools=earlier.tools, reused=earlier.sha)
            files = dict(manifest.files)
            checked = output.Checked(output.limits_of(self._bounded(plan)))
            for path, entry in files.items():  # the operator may allow less by now
                checked.count(path, entry.size)
            return self._publish(files, plan, job, control, stages, again, manifest.compressed)

    def _bounded(self, plan: Plan) -> Settings:
        return bounded(self._settings, plan.limits)

    def _plan(self, tree: Tree, job: Job, control: Control) -> Plan:
        if not job.part and (projects := configured.projects(tree)):
            control.log.say(f"Projects of this repository: {', '.join(projects)}")
            control.parts(projects[1:])
        plan = configured.plan(tree, job.base_path, job.environment, job.ref, job.part)
        for line in beyond(self._settings, plan.limits):
            control.log.say(line)
        control.framework(plan.framework)
        control.log.say(f"Detected {plan.framework}: {plan.reason}")
        for note in plan.notes:
            control.log.say(note)
        if plan.decided:
            control.log.say(f"Decided by deploystack.toml: {', '.join(plan.decided)}")
        control.log.say(f"Base path {job.base_path}: {plan.base_path}")
        plan, narrowed_by = narrowed(plan, self._settings.BUILD_NETWORK, trusted=job.trusted)
        if plan.steps and narrowed_by:
            control.log.say(f"Network: {plan.network}, since {narrowed_by}")
        if plan.steps and job.variables.unusable:
            names = ", ".join(job.variables.unusable)
            control.log.say(f"Variables that the host itself sets are left out: {names}")
        publish.warn_of_pointers(tree, control.log)
        return plan

    def _store_commit(
        self, source: Source, plan: Plan, job: Job, control: Control
    ) -> dict[str, Entry]:
        folder = os.path.normpath(os.path.join(plan.root, plan.outputs[0]))
        limits = output.limits_of(self._bounded(plan))
        blobs = output.check_tree(source.tree, folder, limits, control.log)
        if output.INDEX not in blobs:
            raise UserError(
                "no-index-page" if blobs else "output-missing",
                f"There is no {output.INDEX} in {folder}.",
                "A site needs an index page at its top; see build.output in deploystack.toml.",
            )
        known = publish.entries_by_blob(self._store, job.previous)
        gate = self._gate(job)
        return publish.store_blobs(self._store, source.tree.reader, blobs, known, gate)

    def _gate(self, job: Job) -> LeakGate:
        return LeakGate({**own_secrets(self._settings), **job.variables.secret})

    def _build(
        self,
        work: Path,
        plan: Plan,
        job: Job,
        control: Control,
        stages: _Stages,
        origin: Origin,
    ) -> Built:
        tree = work / "tree"
        settings = self._bounded(plan)
        with contextlib.ExitStack() as held:
            if plan.steps:
                assure_confined(plan, trusted=job.trusted, confines=self._runner.confines)
                commands = Commands(settings, self._runner, work, control)
                with stages(Stage.INSTALL):
                    toolchain = self._toolchains.provide(plan, control.log)
                    assure_programs(plan, toolchain)
                    # Each of a repository's projects has secrets of its own.
                    own = "-".join(filter(None, (job.environment, job.part)))
                    sealed = job.variables.shelf(own)
                    origin = replace(origin, tools=unchanged.tools_of(toolchain, plan))
                    scope = CacheScope(project=job.repository, trusted=job.trusted, sealed=sealed)
                    installed = held.enter_context(
                        self._installer.install(
                            tree,
                            plan,
                            toolchain,
                            scope,
                            control,
                            commands.limits(),
                            job.variables,
                            fresh=job.fresh,
                        )
                    )
                with stages(Stage.BUILD):
                    _write_files(_root_of(tree, plan), plan.files)
                    commands.build(plan, toolchain, job, installed.overlays)
            with stages(Stage.PUBLISH):
                folder = output.choose_output(_root_of(tree, plan), plan.outputs)
                shown = str(folder.relative_to(os.path.realpath(tree)))
                control.log.say(f"Publishing {shown if shown != '.' else 'the whole folder'}")
                limits = output.limits_of(settings)
                checked = output.check_folder(folder, limits, control.log, work)
                urls, mentions = AbsoluteUrls(job.base_path), unchanged.Mentions(job)
                gate = self._gate(job)
                wanted = ((gate, gate), (urls, True), (mentions, origin.fingerprint))
                lookers = [looker for looker, is_wanted in wanted if is_wanted]
                files = publish.store_folder(self._store, checked, job.previous, lookers)
                warnings = urls.report(control.log)
                if mentions.found:
                    origin = replace(origin, fingerprint="")
                built = self._publish(files, plan, job, control, stages, origin)
                return replace(built, warnings=warnings)

    def _publish(
        self,
        files: dict[str, Entry],
        plan: Plan,
        job: Job,
        control: Control,
        stages: _Stages,
        origin: Origin,
        compressed: bool = False,
    ) -> Built:
        manifest = publish.manifest_of(job, plan, files, compressed=compressed)
        # The last look before others see it: a build that is not wanted stays unseen.
        control.entering(Stage.PUBLISH)
        self._store.publish(manifest)
        size = sum(entry.size for entry in files.values())
        control.log.say(f"Published {len(files)} files, {size / 1e6:.1f} MB")
        return Built(
            manifest=manifest,
            framework=plan.framework,
            stages=stages.seconds,
            plan=plan,
            origin=origin,
        )


def _root_of(tree: Path, plan: Plan) -> Path:
    """The folder that is built, unless a command has put a link in its place."""
    root = tree / plan.root
    if os.path.realpath(root) != os.path.normpath(os.path.join(os.path.realpath(tree), plan.root)):
        raise UserError("root-replaced", f"{plan.root} is no longer a folder of the repository.")
    return root


def _write_files(root: Path, files: Mapping[str, str]) -> None:
    """Write a plan's files, never through a link that the sources laid out."""
    real_root = os.path.realpath(root)
    for name, text in files.items():
        target = root / name
        if os.path.commonpath([real_root, os.path.realpath(target.parent)]) != real_root:
            raise SystemFault("work-folder", f"{name} would lie outside of the build's folder.")
        target.unlink(missing_ok=True)
        target.write_text(text)
