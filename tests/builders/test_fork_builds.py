"""What a fork's build is kept from, and what the project's own builds are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.builders.cache import CacheScope
from bot.builders.job import Built, Job
from bot.builders.leaks import CODE
from bot.builders.network_policy import Network, assure_confined, narrowed
from bot.builders.pipeline import create_pipeline
from bot.builders.plan import Plan, Step
from bot.builders.sandbox.select import select_runner
from bot.builders.source import Repositories
from bot.builders.variables import Variables
from bot.errors import SystemFault, UserError
from bot.secret import Secret
from bot.settings import Settings
from tests.builders.conftest import ListLog
from tests.builders.repositories import GitServer, Repository
from tests.builders.test_pipeline import Site
from tests.builders.test_submodules import with_submodule
from tests.programs import require_program

SECRET = "s3cret-value-of-the-project"
GIVEN = Variables(
    plain={"PLAIN": "stored", "SHARED": "stored", "PATH": "/nowhere"},
    secret={"TOKEN": Secret(SECRET), "OVERRIDDEN": Secret("the-project-decides")},
)
# Prints what install and build see, without printing a secret itself.
LOOK = (
    'echo "$1 PLAIN=$PLAIN SHARED=$SHARED"; [ -n "$TOKEN" ] && echo "$1 has a token";'
    ' [ "$OVERRIDDEN" = "the-project-decides" ] && echo "$1 keeps the project\'s value";'
    ' echo "$1 routes $(tail -n +2 /proc/net/route | wc -l)"; true\n'
)
CONFIGURATION = """
[build]
install = "sh look.sh install"
command = "sh look.sh build && sh make.sh"
output = "out"
[context.preview.environment]
SHARED = "commit"
OVERRIDDEN = "commit"
"""


@pytest.fixture
def site(make_settings: Callable[..., Settings]) -> Site:
    require_program("bwrap")
    return Site(make_settings(SANDBOX="bubblewrap", BUILD_TIMEOUT=60))


def files(make: str = "mkdir out; echo hi > out/index.html", **more: str) -> dict[str, str]:
    content = json.dumps({"name": "site"})
    base = {"package.json": content, "look.sh": LOOK, "make.sh": make}
    return base | {"deploystack.toml": CONFIGURATION} | more


def deploy(site: Site, content: dict[str, str], **job: Any) -> Built:
    sha = site.repository.commit(content)
    return site.pipeline.run(replace(site.job(sha), **job), site.control)


def routes(site: Site, step: str) -> int:
    line = next(line for line in site.log.text.splitlines() if line.startswith(f"{step} routes"))
    return int(line.split()[-1])


def test_install_and_build_get_the_projects_variables(site: Site) -> None:
    deploy(site, files(), variables=GIVEN)
    for step in ("install", "build"):
        assert f"{step} PLAIN=stored SHARED=commit" in site.log.text
        assert f"{step} has a token" in site.log.text
        assert f"{step} keeps the project's value" in site.log.text
    assert "left out: PATH" in site.log.text
    assert routes(site, "build") > 0


def test_a_job_shows_no_secret_when_it_is_printed(site: Site) -> None:
    job = replace(site.job("a" * 40), variables=GIVEN)
    assert SECRET not in repr(job)


def test_a_forks_build_has_no_network_after_its_install(site: Site) -> None:
    deploy(site, files(), trusted=False, pull_request=7)
    assert routes(site, "install") > 0
    assert routes(site, "build") == 0
    assert "has a token" not in site.log.text
    assert "Network: install-only, since the code is a fork's" in site.log.text


@pytest.mark.parametrize(
    ("operator", "project", "install", "build"),
    [("none", "full", False, False), ("install-only", "none", False, False),
     ("full", "install-only", True, False), ("install-only", "full", True, False)],
)  # fmt: skip
def test_the_narrowest_policy_holds_in_the_sandbox(
    make_settings: Callable[..., Settings], operator: str, project: str, install: bool, build: bool
) -> None:
    require_program("bwrap")
    site = Site(make_settings(SANDBOX="bubblewrap", BUILD_NETWORK=operator))
    content = CONFIGURATION.replace("[build]", f'[build]\nnetwork = "{project}"')
    deploy(site, files(**{"deploystack.toml": content}))
    assert (routes(site, "install") > 0, routes(site, "build") > 0) == (install, build)


@pytest.mark.parametrize("operator", list(Network))
@pytest.mark.parametrize("project", list(Network))
@pytest.mark.parametrize("trusted", [True, False])
def test_nobody_widens_what_another_has_closed(operator: str, project: str, trusted: bool) -> None:
    steps = (Step(name="install", argv=("a",)), Step(name="build", argv=("b",)))
    plan = Plan(framework="x", reason="", steps=steps, network=project)
    found, _ = narrowed(plan, operator, trusted=trusted)
    order = ["full", "install-only", "none"]
    least = max(order.index(operator), order.index(project), 0 if trusted else 1)
    assert found.network == order[least]
    assert [step.network for step in found.steps] == [least < 2, least < 1]


def test_without_a_sandbox_forks_are_refused_and_networks_stay_as_they_are(
    make_settings: Callable[..., Settings],
) -> None:
    site = Site(make_settings(SANDBOX="process", WORK_DIR="/tmp/deploystack-test-work"))
    with pytest.raises(UserError) as caught:
        deploy(site, files(), trusted=False, pull_request=7)
    assert (caught.value.code, "bubblewrap" in caught.value.hint) == ("fork-not-confined", True)
    assert "install PLAIN" not in site.log.text
    deploy(site, {"package.json": "", "deploystack.toml": "", "index.html": "x"} | PLAIN)
    with pytest.raises(SystemFault, match="BUILD_NETWORK=none needs a sandbox"):
        select_runner(make_settings(SANDBOX="process", BUILD_NETWORK="none"))
    plan = Plan(framework="x", reason="", steps=(Step(name="build", argv=("b",)),), network="none")
    with pytest.raises(UserError, match="cannot be closed"):
        assure_confined(plan, trusted=True, confines=False)


PLAIN = {"deploystack.toml": '[build]\nframework = "Plain HTML"\n', "package.json": "{}"}


def test_a_built_file_with_a_secret_in_it_is_not_published(site: Site) -> None:
    make = 'mkdir -p out/js; echo hi > out/index.html; printf "a\\nkey=%s" $TOKEN > out/js/app.js'
    with pytest.raises(UserError) as caught:
        deploy(site, files(make), variables=GIVEN)
    assert caught.value.code == CODE
    assert "TOKEN would be published: it is in js/app.js, line 2." in caught.value.message
    assert SECRET not in str(caught.value)


def test_a_committed_file_with_a_secret_in_it_is_not_published(site: Site) -> None:
    with pytest.raises(UserError, match=r"is in a/config\.json, line 1"):
        deploy(site, {"index.html": "x", "a/config.json": SECRET}, variables=GIVEN)


def test_a_plain_variable_may_be_published(site: Site) -> None:
    visible = Variables(plain={"VITE_KEY": "for-everybody-to-see"})
    built = deploy(site, files("mkdir out; echo $VITE_KEY > out/index.html"), variables=visible)
    assert site.content(built, "index.html") == "for-everybody-to-see\n"


def test_the_bots_own_secrets_are_not_published_either(
    make_settings: Callable[..., Settings],
) -> None:
    site = Site(make_settings(GITHUB_TOKEN="ghp_0123456789"))
    with pytest.raises(UserError, match="GITHUB_TOKEN would be published"):
        deploy(site, {"index.html": "ghp_0123456789"})


def test_what_builds_with_secrets_keep_is_shown_to_nobody_without_them() -> None:
    sealed = CacheScope(project="o/n", trusted=True, sealed="production")
    open_to_all = CacheScope(project="o/n", trusted=True)
    fork = CacheScope(project="o/n", trusted=False)
    assert sealed.own not in (*open_to_all.readable, *fork.readable)
    assert sealed.own not in CacheScope(project="o/n", trusted=True, sealed="preview").readable
    assert open_to_all.own in sealed.readable
    assert fork.own not in (*open_to_all.readable, *sealed.readable)


@pytest.mark.parametrize("protocol", [2, 0])
def test_a_forks_commit_is_fetched_by_way_of_its_pull_request(
    make_settings: Callable[..., Settings], tmp_path: Path, protocol: int
) -> None:
    """On a server that hands out named commits alone nothing else leads to it."""
    origin = Repository(tmp_path / "origin/octo/site.git")
    origin.commit({"index.html": "ours"})
    fork = Repository(tmp_path / "fork")
    fork.git("pull", "--quiet", str(origin.path), "main")
    sha = fork.commit({"index.html": "theirs"})
    fork.git("push", "--quiet", str(origin.path), f"{sha}:refs/pull/7/head")
    with GitServer(tmp_path / "origin", protocol=protocol) as server:
        site = Site(make_settings(GITHUB_SERVER_URL=server.url))
        job = replace(site.job(sha), project="octo/site", trusted=False, pull_request=7)
        built = site.pipeline.run(job, site.control)
        assert site.content(built, "index.html") == "theirs"
        moved = fork.commit({"index.html": "moved"})
        later = replace(job, sha=moved, deployment_id="dpl_2")
        with pytest.raises(UserError) as caught:
            site.pipeline.run(later, site.control)
        assert caught.value.code == "commit-not-found"


def test_a_forks_submodules_get_no_token_and_see_no_mirror_that_one_has_filled(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    private = Repository(tmp_path / "origin/octo/private.git")
    private_sha = private.commit({"index.html": "private"})
    origin = Repository(tmp_path / "origin/octo/site.git")
    origin.commit({"index.html": "x"})
    sha = with_submodule(origin, "../private.git", "private", private_sha)
    with GitServer(tmp_path / "origin", token="ghs_token") as server:
        settings = make_settings(GITHUB_SERVER_URL=server.url)
        site = Site(settings)
        site.pipeline = create_pipeline(settings, site.store, lambda _project: Secret("ghs_token"))
        job: Job = replace(site.job(sha), project="octo/site")
        assert "private/index.html" in site.pipeline.run(job, site.control).manifest.files
        with pytest.raises(UserError) as caught:
            site.pipeline.run(replace(job, trusted=False, pull_request=7), site.control)
        assert caught.value.code == "submodule-unavailable"
    mirrors = settings.DATA_DIR / "mirrors" / "octo"
    assert {path.name for path in mirrors.iterdir() if path.is_dir()} == {
        "site.git", "site.modules", "site.modules-untrusted",
    }  # fmt: skip
    Repositories(settings.DATA_DIR / "mirrors", lambda _project: None).tidy()
    assert isinstance(site.log, ListLog)
