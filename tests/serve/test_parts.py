"""The projects of one repository, as visitors meet them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.models.access import AccessKind, open_to_all, protect
from bot.models.projects import point_alias
from bot.models.status import AliasKind
from bot.models.tables import Project
from tests.serve.conftest import SHA, Deployer, Host, wait_until

PART = "octo/site#docs"


@pytest.fixture
def docs(deployer: Deployer) -> str:
    """The id of a deployment of the same commit's other project."""
    deployer.deploy({"index.html": "site"})
    part = deployer.project(PART)
    Project.update(main=deployer.project().id).where(Project.id == part.id).execute()
    return deployer.deploy({"index.html": "docs"}, project=PART)


def test_the_commits_address_is_the_main_projects(docs: str, host: Host) -> None:
    assert host.get(f"/{SHA}/").text == "site"
    assert host.get(f"/{docs}/").text == "docs"
    assert host.get(f"/{SHA[:10]}/").location == f"/{SHA}/"


def test_without_a_page_of_the_main_project_the_commit_has_none(
    deployer: Deployer, host: Host
) -> None:
    main = deployer.project().id
    part = deployer.project(PART)
    Project.update(main=main).where(Project.id == part.id).execute()
    deployer.deploy({"index.html": "docs"}, project=PART)
    assert host.get(f"/{SHA}/").status == 404


def test_protecting_the_main_project_protects_the_others(
    deployer: Deployer, docs: str, host: Host
) -> None:
    assert host.get(f"/{docs}/").text == "docs"
    project = deployer.project()
    protect(project.id, AccessKind.LINK)
    for path in (f"/{docs}/", f"/{SHA}/"):
        wait_until(lambda path=path: host.get(path).status == 403)  # type: ignore[misc]
    open_to_all(project.id)
    wait_until(lambda: host.get(f"/{docs}/").text == "docs")


def test_one_of_them_may_be_protected_alone(deployer: Deployer, docs: str, host: Host) -> None:
    protect(deployer.project(PART).id, AccessKind.PASSWORD, "open")
    assert host.get(f"/{docs}/").status == 401
    assert host.get(f"/{SHA}/").text == "site"


def test_each_has_hosts_of_its_own(
    deployer: Deployer, docs: str, make_host: Callable[..., Host]
) -> None:
    host = make_host(PREVIEW_DOMAIN="live.test")
    point_alias(deployer.project(PART).id, AliasKind.BRANCH, "main", docs)
    point_alias(deployer.project(PART).id, AliasKind.PRODUCTION, "production", docs)
    for name in (docs, "main--octo-site-docs", "octo-site-docs"):
        assert host.get("/", Host=f"{name}.live.test").text == "docs"
    assert host.get("/", Host=f"{SHA}.live.test").text == "site"
