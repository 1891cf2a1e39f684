"""Takes uploads in: looks at what came, records it, and has it published or built.

What only needs publishing is published before the answer; what must be built is
queued for a worker. A refused upload leaves nothing behind.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass

from bot.builders import configured, output
from bot.builders.tree import FolderTree, Tree
from bot.errors import SystemFault, UserError
from bot.events import BuildCompleted, BuildFailed, Bus, DeploymentCreated
from bot.models import audit, deployments, uploads
from bot.models.database import Database
from bot.models.ids import new_id
from bot.models.status import ACTIVE, ENDED, BuildStatus
from bot.settings import Settings
from bot.storage.store import Store
from bot.uploads.archive import unpack
from bot.uploads.entries import limits_of
from bot.uploads.names import Register, are_plain, project_name, safe_path
from bot.uploads.pipeline import StoreTree
from bot.uploads.receive import Received
from bot.uploads.remote import checked_ref, parse_remote, resolve
from bot.uploads.sources import FilesSource, RemoteSource, Sources

_LOOK = 0.001  # seconds; it is about as long as a transaction takes to end


@dataclass(frozen=True, slots=True)
class Options:
    """What the uploader chose. `project` is empty where they left it to us.

    `actor` is who they are, for the audit log; `user_id` the user, if it is one.
    """

    project: str = ""
    ref: str = ""
    production: bool = False
    actor: str = ""
    user_id: int | None = None

    @property
    def environment(self) -> str:
        return "production" if self.production else "preview"


@dataclass(frozen=True, slots=True)
class Taken:
    """What an upload came to. Not `ready`: its build is queued or running."""

    deployment_id: str
    build_id: str
    project: str
    status: str
    ready: bool


# Raises `UserError` where the uploader may not deploy to the project of this name.
Authorise = Callable[[str], None]


class MissingFiles(UserError):
    """A manifest names contents that were not uploaded yet."""

    def __init__(self, digests: Sequence[str]) -> None:
        super().__init__(
            "files-missing",
            f"{len(digests)} contents of the manifest are not here yet.",
            "Upload them, then send the manifest again.",
        )
        self.digests = tuple(digests)


class Uploads:
    """One per process. `build_now` brings a queued build to its end in the calling thread."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        bus: Bus,
        wake: Callable[[Sequence[str]], None],
        build_now: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._bus = bus
        self._wake = wake
        self._build_now = build_now
        self._publishers = futures.ThreadPoolExecutor(settings.WEB_THREADS, "publish uploads")
        # Builds that somebody waits for, and whether they are about to end.
        self._ending: dict[str, threading.Event] = {}
        bus.subscribe(BuildCompleted, lambda event: self._ends(event.build_id))
        bus.subscribe(BuildFailed, lambda event: self._ends(event.build_id))
        self.sources = Sources(settings, store)

    def settle(self) -> None:
        """Wait until nothing goes on in the background. Nothing is taken in afterwards."""
        self._publishers.shutdown()

    def take_archive(self, received: Received, options: Options, authorise: Authorise) -> Taken:
        """Deploy an archive, which is moved away. Raises `UserError`."""
        name = self._checked(options, options.project or project_name(received.name), authorise)
        deployment_id = new_id("dpl")
        tree = received.path.with_name("tree")
        try:
            unpack(received.path, tree, limits_of(self._settings))
            builds = self._needs_build(FolderTree(tree), deployment_id, options)
            self.sources.keep_archive(deployment_id, received.path, tree, promised=builds)
        finally:
            shutil.rmtree(tree, ignore_errors=True)
        return self._request(deployment_id, name, "upload", options, authorise, builds=builds)

    def take_remote(self, url: str, options: Options, authorise: Authorise) -> Taken:
        """Deploy a repository by its address: a worker fetches it. Raises `UserError`."""
        remote = parse_remote(url, options.ref, self._settings.ALLOWED_GIT_HOSTS)
        if not remote.named:
            resolve(remote)  # again before it is fetched; here, so as to answer at once
        name = self._checked(options, options.project or project_name(remote.name), authorise)
        deployment_id = new_id("dpl")
        self.sources.keep(deployment_id, RemoteSource(remote.url, remote.ref))
        return self._request(deployment_id, name, "url", options, authorise, builds=True)

    def missing(self, files: Mapping[str, str]) -> list[str]:
        """Those digests of a manifest whose contents are not in the store. Raises `UserError`."""
        self._check_names(files)
        wanted = dict.fromkeys(files.values())
        return self._store.missing(wanted)

    def take_files(self, files: Mapping[str, str], options: Options, authorise: Authorise) -> Taken:
        """Deploy files of the store: path → SHA-256. Raises `UserError`, `MissingFiles`."""
        name = self._checked(options, options.project or "site", authorise)
        self._store.expect(uploads.newest_ready(name))
        if missing := self.missing(files):
            raise MissingFiles(missing)
        deployment_id = new_id("dpl")
        tree = StoreTree(self._store, files)
        builds = self._needs_build(tree, deployment_id, options)
        if builds:  # laid out as files, of which a few contents could make very many
            self._check_sizes(tree)
        if builds:
            # Others may have stored some of them: what is promised must outlive a power cut.
            self._store.flush(set(files.values()))
        self.sources.keep(deployment_id, FilesSource(dict(files)), promised=builds)
        return self._request(deployment_id, name, "upload", options, authorise, builds=builds)

    @staticmethod
    def _checked(options: Options, name: str, authorise: Authorise) -> str:
        """The project's name, if the options are in order. Raises `UserError`."""
        if options.ref:
            checked_ref(options.ref)
        authorise(name)
        return name

    def _needs_build(self, tree: Tree, deployment_id: str, options: Options) -> bool:
        base_path = self._settings.base_path(deployment_id)
        return bool(configured.plan(tree, base_path, options.environment).steps)

    def _check_names(self, files: Mapping[str, str]) -> None:
        if len(files) > self._settings.MAX_FILES:
            raise UserError(
                "too-many-files",
                f"There are more than {self._settings.MAX_FILES} files.",
                "MAX_FILES is the operator's limit.",
            )
        if are_plain(files):
            return
        register = Register()
        for path in files:
            if safe_path(path) != path:
                raise UserError("invalid-path", f"{path!r} is not a plain relative path.")
            register.add_file(path)

    def _check_sizes(self, tree: StoreTree) -> None:
        checked = output.Checked(output.limits_of(self._settings))
        for path in tree.digests:
            checked.count(path, tree.size(path))

    def _request(
        self,
        deployment_id: str,
        name: str,
        source: str,
        options: Options,
        authorise: Authorise,
        *,
        builds: bool,
    ) -> Taken:
        """Record a deployment whose source is kept, and bring it on its way."""
        try:
            # What is not to be built is promised by the end of its build alone.
            with self._database.write(durable=builds):
                # Again: somebody else may have made a project of this name meanwhile.
                authorise(name)
                project = uploads.project_for(name, options.user_id)
                requested = uploads.request(
                    deployment_id,
                    project.id,
                    source=source,
                    ref=options.ref,
                    environment=options.environment,
                    user_id=options.user_id,
                )
                audit.note(options.actor, "deployment.create", deployment_id, project=name)
                self._bus.publish(DeploymentCreated(deployment_id, requested.build_id))
        except BaseException:
            self.sources.forget(deployment_id)
            raise
        if builds:
            self._wake([requested.build_id])
        else:
            self._publish_now(requested.build_id)
        return self._outcome(deployment_id, requested.build_id, builds=builds)

    def _publish_now(self, build_id: str) -> None:
        """Return as soon as the build has ended, though its thread goes on.

        What only makes the page faster (compressed variants, trees for front servers)
        nobody needs to wait for.
        """
        ending = self._ending[build_id] = threading.Event()
        try:
            publishing = self._publishers.submit(self._build_now, build_id)
            publishing.add_done_callback(lambda _done: ending.set())
            ending.wait()
        finally:
            del self._ending[build_id]
        # Whoever says that a build ends says so within the transaction that ends it.
        while deployments.build_status(build_id) not in ENDED:
            if publishing.done():
                publishing.result()
                return
            time.sleep(_LOOK)

    def _ends(self, build_id: str) -> None:
        if (waited_for := self._ending.get(build_id)) is not None:
            waited_for.set()

    def _outcome(self, deployment_id: str, build_id: str, *, builds: bool) -> Taken:
        build = deployments.find_build(build_id)
        if build is None:
            raise SystemFault("deployment-gone", "The deployment was deleted meanwhile.")
        if not builds and build.status == BuildStatus.READY:
            # A page that is published needs its archive no more; nobody waits for that.
            self._publishers.submit(self.sources.forget, deployment_id)
        elif not builds and build.status not in ACTIVE:
            with self._database.write():
                uploads.withdraw(deployment_id)
            self.sources.forget(deployment_id)
            raise UserError(build.error_code, build.error_message)
        return Taken(
            deployment_id,
            build_id,
            build.deployment.project.name,
            str(build.status),
            ready=build.status == BuildStatus.READY,
        )
