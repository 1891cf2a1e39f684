"""What people do by hand, each as a whole: the change, its audit entry, whoever must be told.

The change and its entry are one transaction. Who may do what is the caller's affair
(`bot.models.rights`), and so is how it is asked for: the dashboard has forms for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot import part_builds
from bot.errors import UserError
from bot.events import BuildCompleted, BuildFailed, Bus, DeploymentCreated
from bot.models import (
    access,
    aliases,
    approvals,
    audit,
    changes,
    deployments,
    domains,
    policies,
    projects,
    queue,
    variables,
)
from bot.models.access import AccessKind
from bot.models.database import Database
from bot.models.deployments import Requested
from bot.models.status import DeploymentStatus
from bot.models.tables import Alias, Build, Deployment, Domain, Project, Variable
from bot.models.variables import Context
from bot.settings import Settings
from bot.storage.store import Store

_WOKEN = 16


@dataclass(frozen=True)
class Control:
    """`wake` tells workers of queued builds; `expose` has a project's sites laid out again.

    `tell` has the code host told at once what a change has written into the outbox.
    """

    settings: Settings
    database: Database
    store: Store
    bus: Bus
    wake: Callable[[Sequence[str]], None]
    expose: Callable[[int], None]
    tell: Callable[[], None] = lambda: None

    def promote(self, actor: str, project: Project, deployment_id: str) -> None:
        """Lead production to a deployment. Raises `UserError`."""
        with self.database.write():
            changes.promote(project.id, deployment_id)
            self._note(actor, "project.promote", project, deployment=deployment_id)
            self._say_live(deployment_id)
        self.tell()

    def roll_back(self, actor: str, project: Project) -> Deployment:
        """Lead production to what was live before. Raises `UserError`."""
        with self.database.write():
            earlier = changes.roll_back(project.id)
            self._note(actor, "project.rollback", project, deployment=earlier.id)
            self._say_live(earlier.id)
        self.tell()
        return earlier

    def set_alias(self, actor: str, project: Project, name: str, deployment_id: str) -> Alias:
        """Make a name lead to a deployment. Raises `UserError`."""
        with self.database.write():
            alias = aliases.point(project, name, deployment_id)
            self._note_alias(actor, "alias.set", project, name, deployment=deployment_id)
        return alias

    def remove_alias(self, actor: str, project: Project, name: str) -> None:
        """Take a name away that was given by hand. Raises `UserError`: `alias-not-found`."""
        with self.database.write():
            aliases.remove(project.id, name)
            self._note_alias(actor, "alias.remove", project, name)

    def cancel(self, actor: str, build: Build) -> None:
        """Give up a build that is queued or running. Raises `UserError`."""
        with self.database.write():
            if not changes.cancel_build(build.id):
                raise UserError("conflict", f"The build has ended: it is {build.status}.")
            audit.note(actor, "build.cancel", build.id, project=build.deployment.project.name)
            self.bus.publish(BuildFailed(build.deployment_id, build.id))
        self.tell()

    def retry(self, actor: str, build: Build, *, fresh: bool = False) -> str:
        """Build again what did not succeed; the new build's id. Raises `UserError`.

        `fresh`: nothing of earlier builds is used, and no rule of the project's ignores it.
        """
        deployment: Deployment = build.deployment
        if deployment.status in (DeploymentStatus.READY, DeploymentStatus.DELETED):
            raise UserError("conflict", f"The deployment is {deployment.status}.")
        if not deployment.sha:
            from bot.uploads.sources import Sources

            Sources(self.settings, self.store).read(deployment.id)  # raises where it is gone
        with self.database.write():
            requested = deployments.retry_build(deployment.id, fresh=fresh)
            if not requested.created:
                raise UserError("conflict", "Another build of it is queued or running.")
            name = build.deployment.project.name
            audit.note(actor, "build.retry", build.id, project=name, new=requested.build_id)
            self.bus.publish(DeploymentCreated(deployment.id, requested.build_id))
        self.wake([requested.build_id])
        return requested.build_id

    def approve(self, actor: str, project: Project, number: int, sha: str) -> Requested:
        """Have a fork's commit built. Raises `UserError`."""
        with self.database.write():
            asked = approvals.approve(project.id, number, sha, actor=actor)
            self._note(actor, "fork.approve", project, pull_request=number, sha=sha)
            if asked.build_id:
                self.bus.publish(DeploymentCreated(asked.deployment_id, asked.build_id))
            woken = part_builds.request_again(self.bus, asked)
        if asked.created or woken:
            self.wake([*([asked.build_id] if asked.created else ()), *woken])
        self.tell()
        return asked

    def protect(self, actor: str, project: Project, kind: AccessKind, password: str = "") -> None:
        """Protect a project, also from front servers. Raises `UserError`."""
        if kind is AccessKind.PASSWORD and not password:
            raise UserError("password-missing", "Give a password.")
        if kind is AccessKind.GITHUB and not self.settings.GITHUB_CLIENT_ID:
            raise UserError(
                "github-sign-in-off",
                "Visitors cannot sign in with GitHub here.",
                "Set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET: docs/serving.md says how.",
            )
        with self.database.write():
            access.protect(project.id, kind, password)
            self._note(actor, "project.protect", project, kind=kind)
        self._hide(project)

    def open_to_all(self, actor: str, project: Project) -> None:
        """Take a project's protection away."""
        with self.database.write():
            access.open_to_all(project.id)
            self._note(actor, "project.unprotect", project)
        self.expose(project.id)

    def add_domain(self, actor: str, project: Project, name: str) -> Domain:
        """Claim a domain, which is served once it is proven. Raises `UserError`."""
        from bot.domains import check_name

        check_name(name, self.settings)
        with self.database.write():
            claimed = domains.claim(project.id, name)
            audit.note(actor, "domain.add", claimed.name, project=project.name)
        return claimed

    def verify_domain(self, actor: str, project: Project, name: str) -> Domain:
        """Look for a domain's proof now. Raises `UserError`: `domain-not-found`."""
        from bot.domains import DomainChecker

        claimed = domains.find(project.id, name)
        checked = DomainChecker(self.settings, self.database).check(claimed)
        with self.database.write():
            state = checked.state
            audit.note(actor, "domain.verify", checked.name, project=project.name, state=state)
        return checked

    def remove_domain(self, actor: str, project: Project, name: str) -> bool:
        """Take a domain away; `False`: the project has no such domain."""
        with self.database.write():
            released = domains.release(project.id, name)
            if released:
                audit.note(actor, "domain.remove", name.lower(), project=project.name)
        return released

    def switch(self, actor: str, project: Project, name: str, on: bool) -> None:
        """Turn one of a project's switches on or off: `toolbar`, `build_on_visit`."""
        with self.database.write():
            projects.switch(project.id, name, on)
            self._note(actor, f"project.{name}", project, on=on)
        if name == "toolbar":
            if on:
                self._hide(project)
            else:
                self.expose(project.id)

    def set_variable(
        self,
        actor: str,
        project: Project,
        name: str,
        value: str,
        *,
        context: Context = Context.ALL,
        branch: str = "",
        secret: bool | None = None,
    ) -> Variable:
        """Raises `UserError`: `invalid-variable`; `SystemFault` where nothing can be sealed."""
        from bot.sealing import sealing_from

        sealed = sealing_from(self.settings).seal(value)
        with self.database.write():
            variables.put(project.id, name, context, sealed, secret, branch)
            self._note_variable(actor, "variable.set", project, name, branch)
        return variables.find(project.id, name, context, branch)

    def remove_variable(
        self, actor: str, project: Project, name: str, context: Context, branch: str = ""
    ) -> None:
        """Raises `UserError`: `variable-not-found`."""
        with self.database.write():
            variables.remove(project.id, name, context, branch)
            self._note_variable(actor, "variable.remove", project, name, branch)

    def set_retention(self, actor: str, project: Project, values: Mapping[str, int | None]) -> None:
        """How long a project's deployments are kept; what is left out is the operator's say."""
        said = {name: value for name, value in values.items() if value is not None}
        with self.database.write():
            policies.put(project.id, said)
            self._note(actor, "project.retention", project, **said)

    def limit_builds(self, actor: str, project: Project, concurrency: int | None) -> None:
        """How many of a project's builds run at a time; `None`: as the operator says; 0: any."""
        with self.database.write():
            projects.limit_builds(project.id, concurrency)
            self._note(actor, "project.concurrency", project, concurrency=concurrency)
        # What the limit held back may go on now.
        self.wake(queue.waiting_of(project.id, concurrency or _WOKEN))

    def _hide(self, project: Project) -> None:
        """From now on front servers ask the bot. After the commit: a worker that publishes
        meanwhile looks at the project again when it has laid a site out."""
        for deployment_id in deployments.live(project.id):
            self.store.hide(deployment_id)

    def _say_live(self, deployment_id: str) -> None:
        """That this is what production shows now."""
        build = deployments.newest_build(deployment_id)
        if build is not None:
            self.bus.publish(BuildCompleted(deployment_id, build.id))

    @staticmethod
    def _note_variable(actor: str, action: str, project: Project, name: str, branch: str) -> None:
        details = {"branch": branch} if branch else {}
        audit.note(actor, action, name, project=project.name, **details)

    @staticmethod
    def _note_alias(
        actor: str, action: str, project: Project, name: str, **details: object
    ) -> None:
        audit.note(actor, action, name, project=project.name, **details)

    def _note(self, actor: str, action: str, project: Project, **details: object) -> None:
        audit.note(actor, action, project.name, project=project.name, **details)
