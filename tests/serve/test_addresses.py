"""Which deployment an address means, and what it says while there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.models.status import BuildStatus, DeploymentStatus
from bot.models.tables import Build, Deployment
from tests.serve.conftest import SHA, Deployer, Host, wait_until

BASE = f"/{SHA}/"


def test_a_deployment_has_its_commit_and_its_id_as_addresses(
    deployer: Deployer, host: Host
) -> None:
    deployment_id = deployer.deploy({"index.html": "home"})
    assert host.get(BASE).text == "home"
    assert host.get(f"/{deployment_id}/").text == "home"
    assert host.get(f"/{deployment_id}").location == f"/{deployment_id}/"


def test_an_upload_has_its_id_alone(deployer: Deployer, host: Host) -> None:
    deployment_id = deployer.deploy({"index.html": "uploaded"}, sha=None)
    assert host.get(f"/{deployment_id}/").text == "uploaded"


@pytest.mark.parametrize("length", [7, 12, 39])
def test_a_unique_beginning_of_a_commit_leads_to_the_whole(
    deployer: Deployer, host: Host, length: int
) -> None:
    deployer.deploy({"index.html": "home"})
    answer = host.get(f"/{SHA[:length]}/docs/a%20b?q=1")
    assert (answer.status, answer.location) == (302, f"{BASE}docs/a%20b?q=1")


def test_a_beginning_that_several_commits_share_lists_them(deployer: Deployer, host: Host) -> None:
    other = SHA[:10] + "f" * 30
    deployer.deploy({"index.html": "one"})
    deployer.deploy({"index.html": "two"}, sha=other)
    answer = host.get(f"/{SHA[:7]}/")
    assert answer.status == 300
    assert f'href="/{SHA}/"' in answer.text
    assert f'href="/{other}/"' in answer.text


def test_a_commit_of_several_projects_is_the_live_one_then_the_oldest(
    deployer: Deployer, host: Host
) -> None:
    deployer.row(project="octo/unfinished", status=DeploymentStatus.FAILED)
    deployer.deploy({"index.html": "older"}, project="octo/a")
    deployer.deploy({"index.html": "newer"}, project="octo/b")
    assert host.get(BASE).text == "older"


@pytest.mark.parametrize("path", [BASE, "/abcdef1/", "/abcdef1", f"/dpl-{'0' * 26}/"])
def test_an_unknown_address_says_what_to_do(host: Host, path: str) -> None:
    answer = host.get(path)
    assert answer.status == 404
    assert "webhook settings" in answer.text


@pytest.mark.parametrize("path", ["/abcdef", "/ABCDEF1/", "/dpl-short/", "/healthz"])
def test_what_does_not_look_like_a_key_is_not_ours(host: Host, path: str) -> None:
    assert host.get(path).text == "the bot's own"


def test_a_building_deployment_shows_its_build_and_then_the_site(
    deployer: Deployer, host: Host
) -> None:
    deployment_id = deployer.row(status=DeploymentStatus.PENDING)
    build_id = deployer.build(deployment_id, BuildStatus.BUILDING)
    answer = host.visit(BASE)
    assert answer.status == 202
    assert answer.headers["X-Build-Status"] == "building"
    assert answer.headers["Cache-Control"] == "no-store"
    assert f"/builds/{build_id}" in answer.text
    deployer.publish(deployment_id, {"index.html": "built"})
    Build.update(status=BuildStatus.READY).execute()
    Deployment.update(status=DeploymentStatus.READY).execute()
    answer = host.visit(BASE)
    assert (answer.status, answer.text) == (200, "built")


def test_a_failed_build_says_why_and_links_to_its_log(deployer: Deployer, host: Host) -> None:
    deployment_id = deployer.row(status=DeploymentStatus.FAILED)
    build_id = deployer.build(deployment_id, BuildStatus.FAILED, "npm run build exited with <1>.")
    answer = host.get(BASE)
    assert answer.status == 404
    assert "npm run build exited with &lt;1&gt;." in answer.text
    assert f"/builds/{build_id}" in answer.text


def test_a_deleted_deployment_is_gone(deployer: Deployer, host: Host) -> None:
    deployment_id = deployer.deploy({"index.html": "soon gone"})
    assert host.get(BASE).status == 200
    Deployment.update(status=DeploymentStatus.DELETED).where(
        Deployment.id == deployment_id
    ).execute()
    wait_until(lambda: host.get(BASE).status == 410)
    assert "deleted" in host.get(BASE).text


def test_a_skipped_commit_says_so(deployer: Deployer, host: Host) -> None:
    deployer.row(status=DeploymentStatus.SKIPPED)
    answer = host.get(BASE)
    assert answer.status == 404
    assert "asked for no deployment" in answer.text


def test_root_absolute_requests_of_a_preview_are_led_into_it(
    deployer: Deployer, host: Host
) -> None:
    deployer.deploy({"index.html": "home", "logo.png": "png", "about.html": "about"})
    referer = f"http://127.0.0.1:{host.port}{BASE}about"
    for path, found in (("/logo.png", "logo.png"), ("/about?x=1", "about?x=1"), ("/", "")):
        answer = host.get(path, Referer=referer)
        assert (answer.status, answer.location) == (302, BASE + found)
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/logo.png", {"Referer": "http://elsewhere.test{base}"}),
        ("/logo.png", {"Referer": "{host}/healthz"}),
        ("/logo.png", {"Referer": "http://[bad"}),
        ("/logo.png", {}),
        ("/sw.js", {"Referer": "{host}{base}", "Service-Worker": "script"}),
        ("/sw.js", {"Referer": "{host}{base}", "Sec-Fetch-Dest": "serviceworker"}),
        ("/healthz", {"Referer": "{host}{base}"}),
    ],
)
def test_other_root_absolute_requests_are_not(
    deployer: Deployer, host: Host, path: str, headers: dict[str, str]
) -> None:
    deployer.deploy({"index.html": "home", "logo.png": "png", "sw.js": "worker"})
    known = {"host": f"http://127.0.0.1:{host.port}", "base": BASE}
    filled = {name: value.format(**known) for name, value in headers.items()}
    assert host.ask("GET", path, filled).text == "the bot's own"


def test_with_a_preview_domain_every_deployment_has_its_own_host(
    deployer: Deployer, make_host: Callable[..., Host]
) -> None:
    deployment_id = deployer.deploy({"index.html": "home", "a/index.html": "a"})
    host = make_host(PREVIEW_DOMAIN="preview.test")
    for label in (SHA, deployment_id, SHA.upper()):
        assert host.get("/", Host=f"{label}.preview.test").text == "home"
    assert host.get("/a", Host=f"{SHA}.preview.test:8000").location == "/a/"
    assert host.get(f"{BASE}a/", Host=f"{SHA}.preview.test").text == "a"
    assert host.get("/", Host="nothing.preview.test").status == 404
    assert host.get("/", Host="preview.test").text == "the bot's own"
    assert host.get("/", Host=f"{SHA}.other.test").text == "the bot's own"


def test_a_build_made_for_the_root_is_sent_to_its_own_host(
    deployer: Deployer, make_host: Callable[..., Host]
) -> None:
    deployer.deploy({"index.html": "home"}, base="/")
    host = make_host(PREVIEW_DOMAIN="preview.test", PUBLIC_URL="https://bot.test")
    answer = host.get(f"{BASE}a%20b?q=1", Host="bot.test:8443")
    assert answer.location == f"https://{SHA}.preview.test:8443/a%20b?q=1"
