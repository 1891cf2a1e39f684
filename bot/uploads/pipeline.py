"""The builders' pipeline, for commits and for uploads alike.

A deployment without a commit has a source instead. Where nothing is to be built and
all files lie in the store already, publishing is writing a list.
"""

from __future__ import annotations

import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from bot.builders import configured, output, publish
from bot.builders.job import Built, Control, Job, Origin, Stage
from bot.builders.leaks import LeakGate, chunks_of, own_secrets
from bot.builders.plan import Plan
from bot.errors import UserError
from bot.settings import Settings
from bot.storage.manifest import Entry, media_type
from bot.storage.store import Store
from bot.uploads.sources import FilesSource, RemoteSource, Sources


class Builder(Protocol):
    """What is asked of `bot.builders.pipeline.Pipeline`."""

    def run(self, job: Job, control: Control) -> Built: ...

    def run_folder(self, folder: Path, job: Job, control: Control) -> Built: ...

    def tidy(self) -> None: ...


class UploadPipeline:
    """Runs jobs: those of commits as ever, those of uploads from their sources."""

    def __init__(
        self, builder: Builder, sources: Sources, store: Store, settings: Settings
    ) -> None:
        self._builder = builder
        self._sources = sources
        self._store = store
        self._settings = settings
        self._limits = output.limits_of(settings)
        self._digests = ThreadPoolExecutor(2, thread_name_prefix="digest uploads")

    def run(self, job: Job, control: Control) -> Built:
        """Deploy a commit or an upload. Raises `UserError`, `SystemFault` or `Stopped`."""
        if job.sha:
            return self._builder.run(job, control)
        control.entering(Stage.FETCH)
        started = time.monotonic()
        source = self._sources.read(job.deployment_id)
        # Beside the build, which may take the archive away only when it has ended.
        digest = self._digests.submit(self._sources.digest, job.deployment_id, source)
        if isinstance(source, FilesSource):
            tree = StoreTree(self._store, source.files)
            plan = configured.plan(tree, job.base_path, job.environment)
            if not plan.steps:
                return self._publish(tree, plan, job, control, started, digest.result())
        with self._work_folder() as folder:
            tree_folder = folder / "tree"
            commit = self._sources.lay_out(
                job.deployment_id, tree_folder, control.log, control.cancelled
            )
            seconds = time.monotonic() - started
            built = self._builder.run_folder(tree_folder, job, control)
        stages = built.stages | {Stage.FETCH: built.stages.get(Stage.FETCH, 0) + seconds}
        origin = replace(
            built.origin or Origin(),
            upload=digest.result(),
            repository=source.url if isinstance(source, RemoteSource) else "",
            commit=commit,
        )
        return replace(built, stages=stages, origin=origin)

    def tidy(self) -> None:
        """Housekeeping: what killed processes and ended builds left."""
        self._builder.tidy()
        self._sources.tidy()

    @contextmanager
    def _work_folder(self) -> Iterator[Path]:
        self._sources.root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".building-", dir=self._sources.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(
        self,
        tree: StoreTree,
        plan: Plan,
        job: Job,
        control: Control,
        started: float,
        list_digest: str,
    ) -> Built:
        """Publish what lies in the store, unread but for what detection looked at."""
        control.framework(plan.framework)
        control.log.say(f"Detected {plan.framework}: {plan.reason}")
        fetched = time.monotonic()
        control.entering(Stage.PUBLISH)
        folder = posixpath.normpath(posixpath.join(plan.root, plan.outputs[0]))
        prefix = "" if folder == "." else f"{folder}/"
        checked = output.Checked(self._limits)
        self._store.expect(job.previous)
        known = publish.entries_of(self._store, job.previous)
        published = {entry.digest for entry in known.values()}
        new = [found for found in dict.fromkeys(tree.digests.values()) if found not in published]
        if self._store.missing(new):
            raise UserError(
                "source-gone", "What was uploaded is no longer kept.", "Upload it again."
            )
        gate = LeakGate({**own_secrets(self._settings), **job.variables.secret})
        looked_at = published
        files: dict[str, Entry] = {}
        for path, digest in tree.digests.items():
            inner = path[len(prefix) :]
            if path.startswith(prefix) and not output.is_hidden(inner):
                entry = known.get(inner)
                if entry is None or entry.digest != digest:
                    entry = Entry(digest, tree.size(path), media_type(inner))
                checked.count(inner, entry.size)
                if gate and digest not in looked_at:
                    looked_at.add(digest)
                    with self._store.open(digest) as content:
                        gate.check(inner, chunks_of(content))
                files[inner] = entry
        if output.INDEX not in files:
            raise UserError(
                "no-index-page",
                f"There is no {output.INDEX} in {folder}.",
                "A site needs an index page at its top; see build.output in deploystack.toml.",
            )
        manifest = publish.manifest_of(job, plan, files)
        self._store.publish(manifest)
        control.log.say(f"Published {len(files)} files")
        stages = {Stage.FETCH: fetched - started, Stage.PUBLISH: time.monotonic() - fetched}
        return Built(
            manifest=manifest,
            framework=plan.framework,
            stages=stages,
            plan=plan,
            origin=Origin(upload=list_digest),
        )


class StoreTree:
    """A `Tree` of files that lie in the store."""

    def __init__(self, store: Store, digests: Mapping[str, str]) -> None:
        self._store = store
        self.digests = digests
        self.files = digests.keys()

    def read(self, path: str) -> bytes:
        if path not in self.digests:
            raise FileNotFoundError(path)
        with self._store.open(self.digests[path]) as content:
            return content.read()

    def size(self, path: str) -> int:
        found = self._store.size(self.digests[path])
        if found is None:
            raise FileNotFoundError(path)
        return found
