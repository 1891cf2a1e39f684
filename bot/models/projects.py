"""Projects, their branches, pull requests and aliases.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

from collections.abc import Iterable

from bot.models.ids import now
from bot.models.status import AliasKind
from bot.models.tables import Alias, Deployment, Project, PullRequest, Ref


def connect_project(
    name: str, *, production_branch: str, private: bool, installation_id: int | None
) -> Project:
    """The project of a repository, made on first sight and brought up to date later."""
    project: Project | None = Project.get_or_none(Project.name == name)
    time = now()
    if project is None:
        return Project.create(
            name=name,
            production_branch=production_branch,
            private=private,
            installation_id=installation_id,
            created_at=time,
            updated_at=time,
        )
    known = (project.production_branch, project.private, project.installation_id, project.state)
    installation_id = installation_id or project.installation_id
    if known != (production_branch, private, installation_id, "active"):
        project.production_branch = production_branch
        project.private = private
        project.installation_id = installation_id
        project.state = "active"
        project.updated_at = time
        project.save()
    return project


def move_ref(project: Project, name: str, sha: str, moved_at: int, before: str) -> bool:
    """Record where a branch points. `False`: something newer is known already.

    `moved_at` has the code host's resolution (a second), so two pushes may share it;
    then the one that starts where the known one ends (`before`) is the newer.
    """
    known: Ref | None = Ref.get_or_none(Ref.project == project, Ref.name == name)
    if known is None:
        Ref.create(project=project, name=name, sha=sha, moved_at=moved_at)
        return True
    if known.sha == sha and not known.deleted:
        return True
    if moved_at < known.moved_at or (moved_at == known.moved_at and before != known.sha):
        return False
    known.sha, known.moved_at, known.deleted = sha, moved_at, False
    known.save()
    return True


def delete_ref(project: Project, name: str, moved_at: int) -> bool:
    """Record that a branch is gone. `False`: it was pushed again since."""
    known: Ref | None = Ref.get_or_none(Ref.project == project, Ref.name == name)
    if known is None or moved_at < known.moved_at:
        return False
    known.deleted, known.moved_at = True, moved_at
    known.save()
    return True


def pull_requests_of(project_id: int, sha: str) -> list[PullRequest]:
    """The open pull requests whose head is `sha`."""
    return list(
        PullRequest.select().where(
            PullRequest.project == project_id,
            PullRequest.head_sha == sha,
            PullRequest.open == True,  # noqa: E712
        )
    )


def point_alias(project_id: int, kind: AliasKind, name: str, deployment_id: str) -> None:
    """Make a name lead to a deployment, wherever it led before."""
    Alias.insert(
        project=project_id, kind=kind, name=name, deployment=deployment_id, updated_at=now()
    ).on_conflict(
        conflict_target=[Alias.project, Alias.kind, Alias.name],
        update={Alias.deployment: deployment_id, Alias.updated_at: now()},
    ).execute()


def point_aliases(deployment_id: str) -> None:
    """Point at a live deployment from every branch and pull request whose head it is."""
    deployment = Deployment.get_by_id(deployment_id)
    project: Project = deployment.project
    heads = Ref.select(Ref.name).where(
        Ref.project == project,
        Ref.sha == deployment.sha,
        Ref.deleted == False,  # noqa: E712
    )
    for ref in heads:
        point_alias(project.id, AliasKind.BRANCH, ref.name, deployment_id)
        if ref.name == project.production_branch:
            point_alias(project.id, AliasKind.PRODUCTION, "production", deployment_id)
    for pull_request in pull_requests_of(project.id, deployment.sha or ""):
        point_alias(project.id, AliasKind.PULL_REQUEST, str(pull_request.number), deployment_id)


def by_name(name: str) -> Project | None:
    found: Project | None = Project.get_or_none(Project.name == name)
    return found


def move_pull_request(
    project: Project, number: int, *, head_sha: str, head_ref: str, fork: bool, moved_at: int
) -> bool:
    """Record a pull request's head. `False`: something newer is known already."""
    known: PullRequest | None = PullRequest.get_or_none(
        PullRequest.project == project, PullRequest.number == number
    )
    if known is None:
        PullRequest.create(
            project=project,
            number=number,
            head_sha=head_sha,
            head_ref=head_ref,
            fork=fork,
            moved_at=moved_at,
        )
        return True
    if moved_at < known.moved_at:
        return False
    known.head_sha, known.head_ref, known.fork = head_sha, head_ref, fork
    known.open, known.moved_at = True, moved_at
    known.save()
    return True


def close_pull_request(project: Project, number: int, moved_at: int) -> int | None:
    """Record that a pull request is closed; answers its id, `None` if that is old news."""
    known: PullRequest | None = PullRequest.get_or_none(
        PullRequest.project == project, PullRequest.number == number
    )
    if known is None or moved_at < known.moved_at:
        return None
    known.open, known.moved_at = False, moved_at
    known.save()
    return known.id


def set_installation_state(installation_id: int, state: str) -> int:
    """Set the state of all projects of an installation; answers how many there are."""
    changed: int = (
        Project.update(state=state, updated_at=now())
        .where(Project.installation_id == installation_id)
        .execute()
    )
    return changed


def set_state(names: Iterable[str], state: str) -> None:
    Project.update(state=state, updated_at=now()).where(Project.name.in_(list(names))).execute()


def adopt_installation(names: Iterable[str], installation_id: int) -> None:
    """Reach these projects, where they are connected, through an App installation."""
    Project.update(installation_id=installation_id, state="active", updated_at=now()).where(
        Project.name.in_(list(names))
    ).execute()
