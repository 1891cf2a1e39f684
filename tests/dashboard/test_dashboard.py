"""The dashboard: signing in, who may see and do what, and what each form does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.models import changes, chores, policies, projects, sessions, tokens
from bot.models.access import AccessKind, access_of
from bot.models.status import BuildStatus, DeploymentStatus
from bot.models.tables import (
    AuditEntry,
    Build,
    Deployment,
    Domain,
    Project,
    Session,
    Token,
    Variable,
)
from bot.models.tokens import Scope
from bot.sealing import sealing_from
from bot.settings import InvalidSetting, Settings
from tests.dashboard.conftest import FIRST, ORIGIN, Desk
from tests.serve.conftest import Deployer

FORK = "f" * 40


def test_nobody_sees_anything_without_signing_in(desk: Desk, two: tuple[str, str]) -> None:
    for path in ("/", "/projects/1", f"/projects/1/deployments/{two[0]}", "/nowhere"):
        answer = desk.get(path)
        assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert desk.get("/sign-in").status_code == 200


def test_a_token_signs_in_and_its_session_is_kept_as_a_digest(desk: Desk) -> None:
    desk.sign_in()
    cookie = desk.client.get_cookie("deploystack", domain="dashboard.localhost")
    assert cookie is not None
    assert (cookie.http_only, cookie.same_site, cookie.path) == (True, "Strict", "/")
    assert cookie.value not in str([row.__data__ for row in Session.select()])
    assert AuditEntry.get().action == "dashboard.sign-in"


def test_with_https_the_cookie_can_be_set_by_this_host_alone(
    make_settings: Callable[..., Settings], desk: Desk
) -> None:
    secured = Desk(
        make_settings(DASHBOARD_URL="https://dash.example.org"), desk.database, desk.store
    )
    with desk.database.write():
        _, secret = tokens.create("x", Scope.READ)
    answer = secured.post("/sign-in", {"token": secret})
    said = answer.headers["Set-Cookie"]
    assert said.startswith("__Host-deploystack=")
    assert "Domain" not in said
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(said.split("; "))
    assert secured.get("/").status_code == 200


@pytest.mark.parametrize("given", ["", "dst_none", "x", "dst_ü"])
def test_what_is_no_token_signs_nobody_in(desk: Desk, given: str) -> None:
    answer = desk.post("/sign-in", {"token": given})
    assert (answer.status_code, answer.headers.get("Set-Cookie")) == (401, None)
    assert "not valid" in answer.text


def test_signing_out_ends_the_session_itself(desk: Desk) -> None:
    desk.sign_in()
    kept = desk.client.get_cookie("deploystack", domain="dashboard.localhost")
    assert kept is not None
    assert desk.post("/sign-out").location == "/sign-in"
    assert desk.get_with_cookie("/", f"deploystack={kept.value}").status_code == 303
    assert Session.select().count() == 0


def test_a_session_ends_with_its_token_and_with_its_time(desk: Desk) -> None:
    token = desk.sign_in()
    with desk.database.write():
        Token.update(revoked_at=1).execute()
    assert desk.get("/").status_code == 303
    with desk.database.write():
        Token.update(revoked_at=None).where(Token.id == token.id).execute()
    assert desk.get("/").status_code == 200
    with desk.database.write():
        Session.update(expires_at=1).execute()
    assert desk.get("/").status_code == 303
    with desk.database.write():
        sessions.forget_expired(2)
    assert Session.select().count() == 0


def test_of_two_cookies_of_one_name_none_counts(desk: Desk) -> None:
    desk.sign_in()
    kept = desk.client.get_cookie("deploystack", domain="dashboard.localhost")
    assert kept is not None
    good = f"deploystack={kept.value}"
    assert desk.get_with_cookie("/", good).status_code == 200
    for doubled in (f"{good}; deploystack=x", f"deploystack=x; {good}", f"{good}; {good}"):
        assert desk.get_with_cookie("/", doubled).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:8000"},
        {"Origin": "null"},
        {"Origin": f"{ORIGIN}0"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_a_change_that_no_page_of_ours_asked_for_is_refused(
    desk: Desk, two: tuple[str, str], headers: dict[str, str]
) -> None:
    desk.sign_in()
    for path in ("/projects/1/roll-back", "/sign-out", "/sign-in"):
        assert desk.post(path, **headers).status_code == 403
    current = changes.in_production(1)
    assert current is not None
    assert current.id == two[1]


@pytest.mark.parametrize("csrf", ["", "0" * 64, "ü"])
def test_a_change_without_the_pages_own_token_is_refused(
    desk: Desk, two: tuple[str, str], csrf: str
) -> None:
    desk.sign_in()
    assert desk.post("/projects/1/roll-back", {"csrf": csrf}).status_code == 403
    assert desk.post("/projects/1/roll-back").status_code == 303


def test_by_another_name_the_dashboard_only_leads_to_its_own(desk: Desk) -> None:
    for host in ("localhost:8001", "127.0.0.1:8001", "evil.example.org"):
        answer = desk.client.get("/projects/1", base_url=f"http://{host}")
        assert (answer.status_code, answer.location) == (302, f"{ORIGIN}/")
        assert desk.client.post("/sign-in", base_url=f"http://{host}").status_code == 421


def test_a_link_from_elsewhere_comes_to_its_page_all_the_same(desk: Desk) -> None:
    arriving = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}
    assert 'http-equiv="refresh" content="0"' in desk.get("/", **arriving).text
    framed = desk.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="iframe")
    assert framed.status_code == 303


def test_every_answer_forbids_frames_scripts_and_caches(desk: Desk, two: tuple[str, str]) -> None:
    desk.sign_in()
    for path in ("/", "/projects/1", "/nowhere", "/static/dashboard.css"):
        with desk.get(path) as answer:
            headers = answer.headers
        assert "script-src" not in headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_a_token_for_one_project_sees_that_alone(
    desk: Desk, two: tuple[str, str], deployer: Deployer
) -> None:
    other = deployer.project("octo/other").id
    elsewhere = deployer.deploy({"index.html": "x"}, sha="e" * 40, project="octo/other")
    desk.sign_in(Scope.ADMIN, project_id=1)
    assert "octo/other" not in desk.get("/").text
    assert desk.get(f"/projects/{other}").status_code == 404
    assert desk.get(f"/projects/1/deployments/{elsewhere}").status_code == 404
    assert desk.post(f"/projects/{other}/protection", {"kind": "link"}).status_code == 404
    assert desk.post("/projects/1/promote", {"deployment": elsewhere}).status_code == 409
    assert desk.get("/projects/1").status_code == 200


@pytest.mark.parametrize(
    ("scope", "path", "form", "status"),
    [
        (Scope.READ, "roll-back", {}, 403),
        (Scope.READ, "promote", {}, 403),
        (Scope.READ, "retry", {}, 403),
        (Scope.READ, "cancel", {}, 403),
        (Scope.READ, "approve", {"number": "1"}, 403),
        (Scope.DEPLOY, "roll-back", {}, 303),
        (Scope.DEPLOY, "protection", {"kind": "link"}, 403),
        (Scope.DEPLOY, "switch", {"name": "build_on_visit", "on": "yes"}, 403),
        (Scope.DEPLOY, "domains", {"domain": "www.example.org"}, 403),
        (Scope.DEPLOY, "domains/verify", {"domain": "www.example.org"}, 403),
        (Scope.DEPLOY, "domains/remove", {"domain": "www.example.org"}, 403),
        (Scope.ADMIN, "protection", {"kind": "link"}, 303),
        (Scope.ADMIN, "protection", {"kind": "nonsense"}, 400),
        (Scope.ADMIN, "protection", {"kind": "password"}, 409),
        (Scope.ADMIN, "protection", {"kind": "github"}, 409),
        (Scope.ADMIN, "switch", {"name": "name", "on": "yes"}, 400),
        (Scope.ADMIN, "approve", {"number": "²"}, 400),
    ],
)
def test_a_scope_allows_what_it_is_for(
    desk: Desk, two: tuple[str, str], scope: Scope, path: str, form: dict[str, str], status: int
) -> None:
    desk.sign_in(scope)
    assert desk.post(f"/projects/1/{path}", form).status_code == status


def test_forms_that_somebody_may_not_use_are_not_shown(desk: Desk, two: tuple[str, str]) -> None:
    desk.sign_in(Scope.READ)
    text = desk.get("/projects/1").text
    assert text.count("<form") == 1  # sign out
    desk.post("/sign-out")
    desk.sign_in(Scope.DEPLOY)
    text = desk.get("/projects/1").text
    assert "/projects/1/promote" in text
    assert "/projects/1/protection" not in text


def test_production_is_promoted_and_rolled_back(desk: Desk, two: tuple[str, str]) -> None:
    first, second = two
    desk.sign_in()
    assert f'value="{first}"' in desk.get("/projects/1").text
    for path, form, expected in (
        ("roll-back", {}, first),
        ("promote", {"deployment": second}, second),
    ):
        assert desk.post(f"/projects/1/{path}", form).location == "/projects/1"
        current = changes.in_production(1)
        assert current is not None
        assert current.id == expected
    entries = [(row.action, row.project) for row in AuditEntry.select().order_by(AuditEntry.id)]
    assert entries[1:] == [("project.rollback", "octo/site"), ("project.promote", "octo/site")]


def test_builds_are_cancelled_and_retried(desk: Desk, deployer: Deployer) -> None:
    deployment_id = deployer.row(status=DeploymentStatus.PENDING)
    build_id = deployer.build(deployment_id, BuildStatus.BUILDING)
    desk.sign_in()
    assert "/projects/1/cancel" in desk.get("/projects/1").text
    assert desk.post("/projects/1/cancel", {"build": build_id}).status_code == 303
    assert Build.get_by_id(build_id).status == BuildStatus.CANCELLED
    assert "has ended" in desk.post("/projects/1/cancel", {"build": build_id}).text
    assert "/projects/1/retry" in desk.get(f"/projects/1/deployments/{deployment_id}").text
    assert desk.post("/projects/1/retry", {"build": build_id}).status_code == 303
    (again,) = desk.woken
    assert Build.get_by_id(again).status == BuildStatus.QUEUED
    assert "no such build" in desk.post("/projects/1/retry", {"build": "bld-x"}).text


def test_a_forks_commit_is_approved_as_it_was_shown(
    desk: Desk, deployer: Deployer, two: tuple[str, str]
) -> None:
    with desk.database.write():
        projects.move_pull_request(1, 7, projects.Head(FORK, "topic", True), 1)
    desk.sign_in(Scope.DEPLOY)
    assert "#7" in desk.get("/").text
    assert f'name="sha" value="{FORK}"' in desk.get("/projects/1").text
    changed = desk.post("/projects/1/approve", {"number": "7", "sha": "e" * 40})
    assert (changed.status_code, "newest commit" in changed.text) == (409, True)
    assert desk.post("/projects/1/approve", {"number": "7", "sha": FORK}).status_code == 303
    assert len(desk.woken) == 1
    assert "Waiting for approval" not in desk.get("/").text
    assert Deployment.get(Deployment.sha == FORK).environment == "preview"


def test_protection_takes_a_project_away_from_front_servers_and_gives_it_back(
    desk: Desk, two: tuple[str, str]
) -> None:
    direct = desk.store._root / "direct"
    for deployment_id in two:
        desk.store.lay_out(desk.store.manifest(deployment_id))
    assert (direct / FIRST / "index.html").read_text() == "first"
    desk.sign_in()
    desk.post("/projects/1/protection", {"kind": "password", "password": "open sesame"})
    assert list(direct.iterdir()) == []
    access = access_of(1)
    assert access is not None
    assert access.kind == AccessKind.PASSWORD
    assert "sesame" not in "".join(row.details for row in AuditEntry.select())
    desk.post("/projects/1/protection", {"kind": ""})
    assert access_of(1) is None
    assert desk.exposed == [1]


def test_building_on_visits_is_turned_on_and_off(desk: Desk, two: tuple[str, str]) -> None:
    desk.sign_in()
    for on in ("yes", ""):
        desk.post("/projects/1/switch", {"name": "build_on_visit", "on": on})
        assert bool(Project.get_by_id(1).build_on_visit) is bool(on)


def test_a_toolbar_is_turned_on_and_front_servers_serve_its_pages_no_more(
    desk: Desk, two: tuple[str, str]
) -> None:
    desk.store.lay_out(desk.store.manifest(two[0]))
    direct = desk.store._root / "direct" / two[0]
    assert direct.is_symlink()
    desk.sign_in()
    assert desk.post("/projects/1/switch", {"name": "toolbar", "on": "yes"}).status_code == 303
    assert Project.get_by_id(1).toolbar
    assert not direct.is_symlink()
    assert desk.exposed == []
    desk.post("/projects/1/switch", {"name": "toolbar", "on": ""})
    assert not Project.get_by_id(1).toolbar
    assert desk.exposed == [1]


def test_domains_are_claimed_shown_with_their_records_and_taken_away(
    desk: Desk, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No name server is asked: none says anything.
    monkeypatch.setattr("bot.domains.DomainChecker._look_up", lambda _self, _record: [])
    desk.sign_in()
    assert desk.post("/projects/1/domains", {"domain": "WWW.Example.org"}).status_code == 303
    text = desk.get("/projects/1").text
    assert Domain.get().proof in text
    assert "_deploystack.www.example.org" in text
    assert "own" in desk.post("/projects/1/domains", {"domain": "dashboard.localhost"}).text
    desk.post("/projects/1/domains/verify", {"domain": "www.example.org"})
    desk.post("/projects/1/domains/remove", {"domain": "www.example.org"})
    noted = [entry.action for entry in AuditEntry.select().order_by(AuditEntry.id)]
    assert noted[-3:] == ["domain.add", "domain.verify", "domain.remove"]
    assert Domain.select().count() == 0


def test_texts_out_of_repositories_are_shown_as_texts(desk: Desk, deployer: Deployer) -> None:
    evil = "<script>alert(1)</script>"
    deployment_id = deployer.row(project=f"octo/{evil}", status=DeploymentStatus.FAILED)
    deployer.build(deployment_id, BuildStatus.FAILED, f"It said {evil}")
    Deployment.update(ref=evil).execute()
    desk.sign_in()
    for path in ("/", "/projects/1", f"/projects/1/deployments/{deployment_id}"):
        assert "&lt;script&gt;alert" in desk.get(path).text
        assert "<script" not in desk.get(path).text


@pytest.mark.parametrize(
    "given",
    [
        {"DASHBOARD_URL": "http://localhost:8001"},
        {"DASHBOARD_PORT": "8000"},
        {"PREVIEW_DOMAIN": "example.org", "DASHBOARD_URL": "https://dash.example.org"},
        {"PREVIEW_DOMAIN": "example.org", "DASHBOARD_URL": "https://example.org"},
    ],
)
def test_a_dashboard_among_the_previews_is_refused(
    make_settings: Callable[..., Settings], given: dict[str, str]
) -> None:
    with pytest.raises(InvalidSetting, match="DASHBOARD_"):
        make_settings(**given)


def test_how_long_things_are_kept_is_said_by_a_form_and_why_one_is(
    desk: Desk, two: tuple[str, str]
) -> None:
    desk.sign_in()
    said = {"closed_days": "0", "idle_days": " 7 ", "production_kept": "", "failed_days": ""}
    assert desk.post("/projects/1/retention", said).status_code == 303
    own = {"closed_days": 0, "idle_days": 7, "production_kept": None, "failed_days": None}
    assert policies.own(1) == own
    assert AuditEntry.select().order_by(AuditEntry.id.desc()).get().action == "project.retention"
    text = desk.get("/projects/1").text
    assert 'name="idle_days" type="number"' in text
    assert 'value="7" placeholder="7"' in text
    assert 'value="" placeholder="10"' in text
    for bad in ("-1", "x", "1e3", "99999999", "٣"):
        assert desk.post("/projects/1/retention", {"idle_days": bad}).status_code == 409
    assert policies.own(1) == own
    page = desk.get(f"/projects/1/deployments/{two[1]}").text
    assert "production leads to it; it is one of the newest 10 of production" in page


def test_variables_are_set_and_removed_by_forms_and_never_shown(
    desk: Desk, two: tuple[str, str]
) -> None:
    desk.sign_in()
    form = {"name": "API_KEY", "value": "line\r\nline", "context": "preview", "branch": "fix/*"}
    assert desk.post("/projects/1/variables", form | {"secret": ""}).status_code == 303
    row = Variable.get()
    assert (row.name, row.context, row.branch, row.secret) == ("API_KEY", "preview", "fix/*", True)
    assert sealing_from(desk.settings).open(row.value).reveal() == "line\nline"
    text = desk.get("/projects/1").text
    assert "<code>API_KEY</code>" in text
    assert "<code>fix/*</code>" in text
    assert "line\nline" not in text
    for bad in ({"name": "no name"}, {"branch": "a b"}):
        assert desk.post("/projects/1/variables", form | bad).status_code == 409
    assert desk.post("/projects/1/variables", form | {"context": "staging"}).status_code == 400
    removal = {"name": "API_KEY", "context": "preview", "branch": ""}
    assert desk.post("/projects/1/variables/remove", removal).status_code == 409
    removal["branch"] = "fix/*"
    assert desk.post("/projects/1/variables/remove", removal).status_code == 303
    assert Variable.select().count() == 0
    actions = [entry.action for entry in AuditEntry.select().order_by(AuditEntry.id.desc())]
    assert actions[:2] == ["variable.remove", "variable.set"]


def test_who_may_not_administer_changes_no_variable(desk: Desk, two: tuple[str, str]) -> None:
    desk.sign_in(Scope.DEPLOY)
    form = {"name": "A", "value": "1", "context": "all"}
    assert desk.post("/projects/1/variables", form).status_code == 403
    assert desk.post("/projects/1/variables/remove", form).status_code == 403
    assert 'name="value"' not in desk.get("/projects/1").text


def test_home_says_what_is_stored_to_whom_that_concerns(desk: Desk, two: tuple[str, str]) -> None:
    desk.sign_in()
    assert "Storage" not in desk.get("/").text
    figures = {"held": 3_000_000, "budget": 2_000_000, "bytes": 500, "over": 1_000_000}
    chores.take("retention", "a worker")
    chores.complete("retention", "a worker", figures)
    text = desk.get("/").text
    assert "deployments hold 3.0 MB of 2.0 MB" in text
    assert "1.0 MB too much is needed" in text
    chores.take("retention", "a worker")
    chores.complete("retention", "a worker", {"problem": "The store is <gone>."})
    assert "retention failed just now: The store is &lt;gone&gt;." in desk.get("/").text
    desk.post("/sign-out")
    desk.csrf = ""
    desk.sign_in(project_id=1)
    assert "Storage" not in desk.get("/").text


def test_who_may_not_administer_sees_how_long_and_changes_nothing(
    desk: Desk, two: tuple[str, str]
) -> None:
    desk.sign_in(Scope.DEPLOY)
    assert desk.post("/projects/1/retention", {"idle_days": "1"}).status_code == 403
    assert "<dd>90</dd>" in desk.get("/projects/1").text
