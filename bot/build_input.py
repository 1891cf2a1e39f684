"""From the database to a build's input: what a deployment's row and project come to.

The only place where projects' variables are decrypted, for the build alone that runs now.
"""

from __future__ import annotations

from bot.builders.job import Earlier, Job
from bot.builders.variables import Variables
from bot.errors import UserError
from bot.models import outputs, variables
from bot.models.status import AliasKind
from bot.models.tables import Build, Deployment
from bot.project_name import key_of
from bot.sealing import sealing_from
from bot.settings import LOCAL_OWNER, Settings


def job_of(build: Build, previous: str, settings: Settings) -> Job:
    """`build` with its deployment and project; `previous`: see `Job`.

    Raises `SystemFault` where a variable cannot be decrypted, `UserError` where it cannot be
    put into an environment.
    """
    deployment: Deployment = build.deployment
    project = deployment.project
    trusted = bool(deployment.trusted)
    return Job(
        build_id=build.id,
        deployment_id=deployment.id,
        project=project.name,
        sha=deployment.sha or "",
        ref=deployment.ref,
        environment=deployment.environment,
        base_path=settings.base_path(key_of(project.name, deployment.sha, deployment.id)),
        previous=previous,
        private=project.private or project.name.startswith(f"{LOCAL_OWNER}/"),
        trusted=trusted,
        pull_request=0 if trusted else _pull_request(deployment.ref),
        variables=_opened(deployment, settings) if trusted else Variables(),
        built=_commit_shown(deployment),
        earlier=lambda fingerprint: _earlier(project.id, fingerprint),
        fresh=bool(build.fresh),
    )


def _commit_shown(deployment: Deployment) -> str:
    """The commit of the page that the deployment's branch, or pull request, has now."""
    kind, name = AliasKind.BRANCH, deployment.ref
    if not deployment.trusted:
        kind, name = AliasKind.PULL_REQUEST, str(_pull_request(deployment.ref))
    return outputs.commit_shown(deployment.project_id, kind, name)


def _earlier(project_id: int, fingerprint: str) -> Earlier | None:
    found = outputs.of_fingerprint(project_id, fingerprint)
    if found is None:
        return None
    return Earlier(deployment_id=found.deployment_id, sha=found.sha, tools=found.tools)


def _opened(deployment: Deployment, settings: Settings) -> Variables:
    main_id = deployment.project.main_id
    sealed = variables.for_build(
        deployment.project_id, deployment.environment, main_id, branch=deployment.ref
    )
    if not sealed:
        return Variables()
    sealing = sealing_from(settings)
    opened = {name: (sealing.open(one.value), one.secret) for name, one in sealed.items()}
    for name, (value, _) in opened.items():
        if "\0" in value.reveal():  # no environment can hold it
            raise UserError("invalid-variable", f"The variable {name} has a NUL in it.")
    return Variables(
        plain={name: value.reveal() for name, (value, secret) in opened.items() if not secret},
        secret={name: value for name, (value, secret) in opened.items() if secret},
        patterns=tuple(sorted({one.branch for one in sealed.values() if one.secret} - {""})),
    )


def _pull_request(ref: str) -> int:
    """The number in `pull/<number>/head`, the ref of a fork's deployment."""
    _, _, number = ref.removesuffix("/head").partition("pull/")
    return int(number) if number.isdecimal() else 0
