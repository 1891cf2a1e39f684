"""Variables on their way from the database to a build, and what must not come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.builders.job import Control, Job, Stage
from bot.builders.variables import Variables
from bot.errors import UserError
from bot.models import approvals, deployments, projects, variables
from bot.models.database import Database
from bot.models.status import BuildStatus
from bot.models.variables import Context
from bot.sealing import sealing_from
from bot.secret import Secret
from bot.settings import Settings
from tests.test_worker import Workshop

SECRET = "s3cret-value"
FORK = "f" * 40


class Vault(Workshop):
    """A workshop whose project has variables."""

    def __init__(self, settings: Settings, database: Database) -> None:
        super().__init__(settings, database)
        self.settings = settings

    def set_variable(
        self,
        name: str,
        value: str,
        context: Context = Context.ALL,
        secret: bool | None = None,
        branch: str = "",
    ) -> None:
        sealed = sealing_from(self.settings).seal(value)
        with self.database.write():
            variables.put(self.project_id, name, context, sealed, secret, branch)

    def run(self, script: Callable[[Job, Control], None] = lambda _job, _control: None) -> Job:
        self.pipeline.script = script
        self.worker.build(self.build_id)
        return self.pipeline.jobs[-1]

    @property
    def log(self) -> str:
        return (self.settings.DATA_DIR / self.build().logs).read_text()


@pytest.fixture
def vault(settings: Settings, database: Database) -> Vault:
    return Vault(settings, database)


def test_a_build_gets_the_variables_of_its_context_opened(vault: Vault) -> None:
    vault.set_variable("TOKEN", SECRET)
    vault.set_variable("TOKEN", "of-previews", Context.PREVIEW)
    vault.set_variable("VITE_TITLE", "for all to see")
    vault.set_variable("MODE", "fast", Context.PRODUCTION, secret=False)
    vault.set_variable("VITE_HIDDEN", "hidden", secret=True)
    given = vault.run().variables
    assert {name: value.reveal() for name, value in given.secret.items()} == {
        "TOKEN": SECRET,
        "VITE_HIDDEN": "hidden",
    }
    assert given.plain == {"VITE_TITLE": "for all to see", "MODE": "fast"}


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        ("main", "of previews"),
        ("release/1.0", "of release/1.0"),
        ("release/1.1", "of release/1.*"),
        ("release/2.0", "of previews of release/*"),
        ("Release/2.0", "of previews"),
        ("", "of previews"),
    ],
)
def test_the_narrowest_variable_wins(vault: Vault, branch: str, expected: str) -> None:
    preview, production = Context.PREVIEW, Context.PRODUCTION
    for value, context, pattern in (
        ("of all", Context.ALL, ""),
        ("of previews", preview, ""),
        ("of release/1.*", Context.ALL, "release/1.*"),
        ("of release/1.0", Context.ALL, "release/1.0"),
        ("of longer than its own name", preview, "release/1.[01234]"),
        ("of release/*", Context.ALL, "release/*"),
        ("of previews of release/*", preview, "release/*"),
        ("of production", production, "release/*"),
        ("of others", preview, "other/*"),
    ):
        vault.set_variable("VITE_A", value, context, branch=pattern)
    if branch == "release/1.1":
        with vault.database.write():
            variables.remove(vault.project_id, "VITE_A", preview, "release/1.[01234]")
    found = variables.for_build(vault.project_id, "preview", branch=branch)["VITE_A"]
    assert sealing_from(vault.settings).open(found.value).reveal() == expected


def test_a_build_gets_what_is_for_its_branch(vault: Vault) -> None:
    vault.set_variable("TOKEN", SECRET, branch="ma*")
    vault.set_variable("OTHER", "not for main", branch="release/*")
    given = vault.run().variables
    assert {name: value.reveal() for name, value in given.secret.items()} == {"TOKEN": SECRET}
    assert given.patterns == ("ma*",)


def test_caches_are_kept_apart_by_the_branches_whose_secrets_were_seen() -> None:
    secret = {"TOKEN": Secret(SECRET)}
    shelves = [
        Variables(secret=secret, patterns=patterns).shelf("preview")
        for patterns in ((), ("release/*",), ("fix/*",), ("fix/*", "release/*"))
    ]
    assert shelves[0] == "preview"
    assert len(set(shelves)) == 4
    assert Variables(plain={"A": "1"}, patterns=()).shelf("preview") == ""


@pytest.mark.parametrize("branch", ["two words", "a\nb", "a~b", "a" * 256])
def test_what_no_branch_can_be_named_is_no_pattern(vault: Vault, branch: str) -> None:
    with pytest.raises(UserError) as caught:
        vault.set_variable("A", "1", branch=branch)
    assert caught.value.code == "invalid-variable"


def test_a_fork_gets_none(vault: Vault) -> None:
    vault.set_variable("TOKEN", SECRET)
    vault.set_variable("VITE_TITLE", "for all to see")
    with vault.database.write():
        head = projects.Head(FORK, "main", fork=True)
        projects.move_pull_request(vault.project_id, 7, head, 1)
        vault.build_id = approvals.approve(vault.project_id, 7, FORK, actor="maria").build_id
    job = vault.run()
    assert (job.trusted, job.pull_request, job.ref) == (False, 7, "pull/7/head")
    assert (job.variables.secret, job.variables.plain) == ({}, {})
    with vault.database.write():
        again = deployments.retry_build(job.deployment_id)
    vault.build_id = again.build_id
    assert not vault.run().trusted


def test_a_secret_is_masked_in_the_log_and_the_build_fails(vault: Vault) -> None:
    vault.set_variable("TOKEN", SECRET)

    def script(_job: Job, control: Control) -> None:
        control.entering(Stage.BUILD)
        control.log.write(b"fine\n" + f"curl -H 'Bearer {SECRET}'\n".encode())
        control.entering(Stage.PUBLISH)

    vault.run(script)
    build = vault.build()
    assert (build.status, build.error_code) == (BuildStatus.FAILED, "secret-leaked")
    assert "TOKEN would be published: it is in the build's log, line 2." in build.error_message
    assert SECRET not in build.error_message + vault.log
    assert "Bearer [REDACTED]" in vault.log


def test_an_error_that_quotes_a_secret_is_told_without_it(vault: Vault) -> None:
    vault.set_variable("TOKEN", SECRET)

    def script(_job: Job, _control: Control) -> None:
        raise UserError("build-failed", f"`deploy --key {SECRET}` failed.")

    vault.run(script)
    assert vault.build().error_message == "`deploy --key [REDACTED]` failed."
    assert SECRET not in vault.log


def test_a_plain_variable_may_be_printed(vault: Vault) -> None:
    vault.set_variable("NEXT_PUBLIC_KEY", "for-all-to-see")

    def script(_job: Job, control: Control) -> None:
        control.log.write(b"for-all-to-see\n")
        control.entering(Stage.PUBLISH)

    vault.run(script)
    assert vault.build().status == BuildStatus.READY
    assert "for-all-to-see" in vault.log


def test_a_value_that_no_key_opens_is_ours_to_mend(vault: Vault) -> None:
    with vault.database.write():
        variables.put(vault.project_id, "TOKEN", Context.ALL, "not sealed by any key")
    vault.worker.build(vault.build_id)
    assert vault.pipeline.jobs == []
    assert vault.build().status == BuildStatus.QUEUED  # it is tried again
    assert "SECRETS_KEY" in vault.log


def test_a_value_that_no_environment_can_hold_is_named(vault: Vault) -> None:
    vault.set_variable("TOKEN", "a\0--bind")
    vault.worker.build(vault.build_id)
    assert vault.pipeline.jobs == []
    assert vault.build().error_code == "invalid-variable"
