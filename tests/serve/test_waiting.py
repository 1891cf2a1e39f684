"""Addresses that nothing live has: on its way, waiting for somebody, gone, or never there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.builders.reachable import Histories
from bot.events import Bus
from bot.models import changes, projects, wanted
from bot.models.database import Database
from bot.models.ids import now
from bot.models.projects import Head, point_alias
from bot.models.status import AliasKind, BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment, Project, WantedCommit
from bot.models.wanted import Wish
from bot.serve.application import Previews
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.visits import Visits
from tests.programs import require_program
from tests.serve.conftest import SHA, Deployer, Host, fallback, serve

OTHER = "f" * 40


@pytest.fixture
def underway(deployer: Deployer) -> str:
    """The first deployment of a branch and a pull request, being built."""
    deployment_id = deployer.row(status=DeploymentStatus.PENDING)
    deployer.build(deployment_id, BuildStatus.BUILDING)
    project_id = deployer.project().id
    projects.move_ref(project_id, "feature/x", SHA, now(), "0" * 40)
    projects.move_ref(project_id, "main", SHA, now(), "0" * 40)
    projects.move_pull_request(project_id, 7, Head(SHA, "feature/x", False), now())
    return deployment_id


@pytest.mark.parametrize(
    "label", ["feature-x--octo-site", "pr-7--octo-site", "main--octo-site", "octo-site"]
)
def test_an_alias_without_a_live_deployment_shows_the_one_on_its_way(
    underway: str, make_host: Callable[..., Host], label: str
) -> None:
    host = make_host(PREVIEW_DOMAIN="preview.test")
    name, _, project = label.rpartition("--")
    path = f"/~/{project}/{name or 'production'}/"
    for answer in (host.get("/", Host=f"{label}.preview.test"), host.get(f"{path}deep?q=1")):
        assert (answer.status, answer.headers["X-Build-Status"]) == (202, "building")
        assert 'role="status"' in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
    assert host.head(path).headers["X-Build-Status"] == "building"


def test_an_alias_of_nothing_at_all_is_a_404(underway: str, host: Host) -> None:
    for path in ("/~/octo-site/none/", "/~/other/main/", "/~/octo-site/pr-8/"):
        assert host.get(path).status == 404


def test_an_alias_whose_first_build_failed_leads_to_its_log(
    underway: str, deployer: Deployer, host: Host
) -> None:
    build = Build.get()
    Build.update(status=BuildStatus.FAILED, error_message="It ended with 1.").execute()
    Deployment.update(status=DeploymentStatus.FAILED).execute()
    answer = host.get("/~/octo-site/feature-x/")
    assert (answer.status, answer.headers["X-Build-Status"]) == (404, None)
    assert "It ended with 1." in answer.text
    assert f"/builds/{build.id}" in answer.text


def test_a_live_alias_stays_while_something_newer_is_built(deployer: Deployer, host: Host) -> None:
    live = deployer.deploy({"index.html": "old"}, sha=OTHER)
    project_id = deployer.project().id
    point_alias(project_id, AliasKind.BRANCH, "main", live)
    deployer.build(deployer.row(status=DeploymentStatus.PENDING), BuildStatus.QUEUED)
    projects.move_ref(project_id, "main", SHA, now(), "0" * 40)
    assert host.get("/~/octo-site/main/").text == "old"


def test_a_forks_commit_says_that_it_waits_for_approval(deployer: Deployer, host: Host) -> None:
    projects.move_pull_request(deployer.project().id, 9, Head(SHA, "topic", True), now())
    answer = host.get(f"/{SHA}/")
    assert (answer.status, answer.headers["X-Build-Status"]) == (202, "waiting for approval")
    assert "https://github.com/octo/site/pull/9" in answer.text
    assert host.get(f"/{OTHER}/").status == 404


def test_a_deleted_deployment_is_gone_at_every_address_of_its_own(
    deployer: Deployer, make_host: Callable[..., Host], store: DiskStore
) -> None:
    host = make_host(PREVIEW_DOMAIN="preview.test")
    deployment_id = deployer.deploy({"index.html": "x"})
    point_alias(deployer.project().id, AliasKind.BRANCH, "main", deployment_id)
    store.lay_out(store.manifest(deployment_id))
    changes.delete_deployment(deployment_id)
    store.delete(deployment_id)
    for path, name in (
        (f"/{SHA}/", "localhost"),
        (f"/{SHA}/a/b.js", "localhost"),
        (f"/{deployment_id}/", "localhost"),
        ("/", f"{SHA}.preview.test"),
        ("/a", f"{deployment_id}.preview.test"),
    ):
        answer = host.get(path, Host=name)
        assert (answer.status, "was deleted" in answer.text) == (410, True)
    # The alias went with it: nothing says that the branch will never be live again.
    assert host.get("/~/octo-site/main/").status == 404


@pytest.fixture
def repository(tmp_path: Path, settings: Settings) -> dict[str, str]:
    """A repository with three commits on `main`, a tag, a fork's commit, and one pushed away."""
    git = require_program("git")
    bare = settings.DATA_DIR / "repositories" / "site.git"
    work = tmp_path / "work"

    def run(*arguments: str) -> str:
        identity = ("-c", "user.name=x", "-c", "user.email=x@x.test")
        done = subprocess.run(
            (git, *identity, *arguments), cwd=work, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(text: str) -> str:
        (work / "index.html").write_text(text)
        run("add", ".")
        run("commit", "-q", "-m", text)
        return run("rev-parse", "HEAD")

    work.mkdir()
    subprocess.run((git, "init", "-q", "--bare", "-b", "main", str(bare)), check=True)
    # As GitHub has it: any object can be had by its name.
    for key in ("allowAnySHA1InWant", "allowFilter"):
        subprocess.run((git, "-C", str(bare), "config", f"uploadpack.{key}", "true"), check=True)
    run("init", "-q", "-b", "main")
    found = {name: commit(name) for name in ("first", "second", "head")}
    run("push", "-q", str(bare), "main")
    for name, ref in (("tagged", "refs/tags/v1"), ("fork", "refs/pull/9/head")):
        run("checkout", "-q", "-b", name, found["first"])
        found[name] = commit(name)
        run("push", "-q", str(bare), f"HEAD:{ref}")
    found["away"] = commit("away")
    run("push", "-q", str(bare), "HEAD:refs/heads/gone")
    run("push", "-q", str(bare), ":refs/heads/gone")
    return found


@pytest.mark.parametrize(
    ("commit", "name"),
    [("first", "main"), ("head", "main"), ("tagged", "v1"), ("fork", ""), ("away", "")],
)
def test_only_what_a_branch_or_tag_reaches_is_part_of_a_repository(
    repository: dict[str, str], settings: Settings, commit: str, name: str
) -> None:
    histories = Histories(settings.DATA_DIR / "histories", lambda _project: None)
    url = settings.clone_url("_local/site")
    assert histories.name_reaching("_local/site", url, repository[commit]) == name
    assert histories.name_reaching("_local/site", url, "0" * 39 + "1") == ""
    assert histories.name_reaching("_local/site", url, "--output=x") == ""


def test_a_visit_builds_a_commit_that_was_never_built(
    repository: dict[str, str],
    database: Database,
    store: DiskStore,
    settings: Settings,
    deployer: Deployer,
) -> None:
    project = deployer.project("_local/site")
    application = Previews(store, settings, Bus(), fallback)
    visits = Visits(settings, database, Bus(), lambda _project: None)
    host, stop = serve(application)
    path = f"/{repository['second']}/"
    try:
        assert host.visit(path).status == 404  # it is off
        projects.switch(project.id, "build_on_visit", True)
        assert host.get(path).status == 404  # a part of a page, or a program
        for _ in range(3):
            answer = host.visit(path)
            assert answer.headers["X-Build-Status"] == "looking for the commit"
        assert host.visit(f"/{repository['fork']}/").status == 202
        requeued: list[str] = []
        visits.look(lambda build_id, _delay: requeued.append(build_id))
        assert host.visit(path).headers["X-Build-Status"] == "queued"
        (build,) = Build.select()
        assert requeued == [build.id]
        made = build.deployment
        assert (made.sha, made.ref, made.source, made.environment) == (
            repository["second"], "main", "visit", "preview",
        )  # fmt: skip
        # What retention took away is built again in the same way.
        Deployment.update(status=DeploymentStatus.EXPIRED).execute()
        Build.update(status=BuildStatus.READY).execute()
        assert host.get(path).status == 410  # a part of a page, or a program
        assert host.visit(path).headers["X-Build-Status"] == "looking for the commit"
        visits.look(lambda build_id, _delay: requeued.append(build_id))
        assert host.visit(path).headers["X-Build-Status"] == "queued"
        assert (len(requeued), Deployment.get().id) == (2, made.id)
        Deployment.update(status=DeploymentStatus.EXPIRED).execute()
        projects.switch(project.id, "build_on_visit", False)
        assert host.visit(path).status == 410
        projects.switch(project.id, "build_on_visit", True)
        # Merely resolvable: never built, and not looked for again for a while.
        assert host.visit(f"/{repository['fork']}/").status == 404
        assert Deployment.get_or_none(Deployment.sha == repository["fork"]) is None
    finally:
        stop()


def test_visits_to_commits_are_limited(deployer: Deployer) -> None:
    assert wanted.want(SHA) is Wish.OFF
    projects.switch(deployer.project().id, "build_on_visit", True)
    wishes = [wanted.want(f"{number:040x}") for number in range(30)]
    assert wishes == [Wish.NEW] * 20 + [Wish.LIMITED] * 10
    assert wanted.want(f"{1:040x}") is Wish.ASKED
    wanted.conclude(f"{1:040x}", found=False)
    assert wanted.want(f"{1:040x}") is Wish.UNKNOWN
    WantedCommit.update(asked_at=now() - 3_600_000).execute()
    assert wanted.want(f"{1:040x}") is Wish.NEW
    wanted.forget(now() - 1_800_000)
    assert wanted.asked() == [f"{1:040x}"]


def test_a_suspended_project_builds_nothing_on_visits(deployer: Deployer) -> None:
    projects.switch(deployer.project().id, "build_on_visit", True)
    Project.update(state="suspended").execute()
    assert wanted.want(SHA) is Wish.OFF


def test_the_page_names_its_steps_and_works_without_scripts(underway: str, host: Host) -> None:
    text = host.get(f"/{SHA}/").text
    assert re.findall(r'data-step="(\w+)"', text) == ["queued", "cloning", "building", "publishing"]
    assert '<noscript><meta http-equiv="refresh"' in text
