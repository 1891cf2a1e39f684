"""Our configurations for nginx and Caddy, run by the real programs."""

from __future__ import annotations

import gzip
import os
import random
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.models import access, deployments, projects
from bot.models.access import AccessKind
from bot.models.database import Database
from bot.serve.front import CARRIED
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.variants import add_variants
from tests.programs import require_program
from tests.serve.conftest import SHA, Deployer, Host, serve, wait_until
from tests.serve.test_processes import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = f"/{SHA}/"
RULED = "f" * 40
HANDED = "e" * 40
SCRIPT = "console.log('hello');\n" * 200
FILES: dict[str, str | bytes] = {
    "index.html": "home",
    "about.html": "about",
    "docs/index.html": "docs",
    "404.html": "none",
    "letters.txt": "abcdefghij",
    "assets/app-B7cD9x2k.js": SCRIPT,
    "assets/my-component.js": SCRIPT,
    "data.mjs": "export {}",
    "ü ñ.txt": "unicode",
    "site.webmanifest": "{}",
}
# Of a deployment with rules, so that the bot is asked for them.
LARGE: dict[str, str | bytes] = {
    "index.html": "home",
    "photo.bin": bytes(range(256)) * 400,
    "large.js": random.Random(7).randbytes(50_000).hex(),
}


def nginx_configuration(folder: Path, port: int, bot: int, dashboard: int, data: Path) -> Path:
    """deploy/nginx.conf with its marked lines adapted, inside a main configuration."""
    text = (DEPLOY / "nginx.conf").read_text()
    artifacts = "/var/lib/deploystack/artifacts"
    store = (DEPLOY / "nginx_store.conf").read_text().replace(artifacts, f"{data}/artifacts")
    (folder / "nginx_store.conf").write_text(store)
    text = text.replace("/etc/nginx/deploystack_store.conf", str(folder / "nginx_store.conf"))
    text = text.replace("/etc/nginx/deploystack_files.conf", str(DEPLOY / "nginx_files.conf"))
    text = text.replace("/etc/nginx/deploystack_proxy.conf", str(DEPLOY / "nginx_proxy.conf"))
    text = text.replace(artifacts, f"{data}/artifacts")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{bot}")
    text = text.replace("127.0.0.1:8001", f"127.0.0.1:{dashboard}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    text = text.replace("deploy.example.com", "localhost").replace(
        r"preview\.example\.com", r"preview\.test"
    )
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"{user} daemon off; pcre_jit on; pid {folder}/pid; error_log {folder}/error.log;"
        f"worker_processes 1; events {{}} http {{ access_log off; {temporary} {text} }}"
    )
    return main


def caddy_configuration(folder: Path, port: int) -> Path:
    """deploy/Caddyfile without TLS, on one port."""
    text = (DEPLOY / "Caddyfile").read_text()
    text = re.sub(r"\ttls \{\n\t\ton_demand\n\t\}\n", "", text)
    text = text.replace("{$SITE:deploy.example.com} {", f"http://127.0.0.1:{port} {{")
    text = text.replace("https:// {", f"http://*.preview.test:{port} {{")
    text = text.replace(
        "{\n\t# A certificate", "{\n\tadmin off\n\tauto_https off\n\t# A certificate"
    )
    main = folder / "Caddyfile"
    main.write_text(text)
    return main


@pytest.fixture(params=["nginx", "caddy"])
def front(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    settings: Settings,
    make_host: Callable[..., Host],
    store: DiskStore,
    deployer: Deployer,
) -> Iterator[Host]:
    """A front server ahead of the bot, with two deployments: one plain, one with rules."""
    program = require_program(request.param)
    bot = make_host(PREVIEW_DOMAIN="preview.test", ACCEL_LOCATION="/_deploystack/store/")
    dashboard, stop_dashboard = serve(_dashboard)
    for sha, files in (
        (SHA, FILES),
        (RULED, {**FILES, "_headers": "/*\n  X-Rule: yes"}),
        (HANDED, {**LARGE, "_redirects": "/old.bin /photo.bin 200"}),
    ):
        deployment_id = deployer.deploy(files, sha=sha)
        made = add_variants(store, deployment_id)
        assert made is not None
        store.lay_out(made)
    port = free_port()
    folder = tmp_path / "front"
    folder.mkdir()
    if request.param == "nginx":
        main = nginx_configuration(folder, port, bot.port, dashboard.port, tmp_path)
        command = [program, "-c", str(main)]
    else:
        file = str(caddy_configuration(folder, port))
        command = [program, "run", "--config", file, "--adapter", "caddyfile"]
    environ = os.environ | {
        "DATA_DIR": str(tmp_path), "BOT": f"127.0.0.1:{bot.port}",
        "PREVIEWS": f"127.0.0.1:{bot.port}", "HOME": str(folder),
        "BOT_DASHBOARD": f"127.0.0.1:{dashboard.port}",
        "DASHBOARD": f"http://dashboard.example.net:{port}", "API": f"http://api.example.com:{port}",
    }  # fmt: skip
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    def up() -> bool:
        assert process.poll() is None, (folder / "output.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(up)
    yield Host(port)
    process.terminate()
    process.wait(timeout=20)
    stop_dashboard()


def _dashboard(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the dashboard"]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("", 200, "home"),
        ("index.html", 200, "home"),
        ("about", 200, "about"),
        ("docs/", 200, "docs"),
        ("docs", 308, ""),
        ("about/", 308, ""),
        ("nowhere", 404, "none"),
        ("%C3%BC%20%C3%B1.txt", 200, "unicode"),
        ("..%2f..%2f..%2fmanifests", None, None),
        ("assets/app-B7cD9x2k.js.gz", 404, "none"),
        ("assets/", 404, "none"),
    ],
)
def test_paths_mean_the_same_as_without_a_front_server(
    front: Host, path: str, status: int | None, body: str | None
) -> None:
    answer = front.get(BASE + path)
    assert answer.status == status or (status is None and answer.status in {400, 404})
    assert body is None or answer.text == body


def test_headers_are_the_same_as_without_a_front_server(front: Host) -> None:
    page, script = front.get(BASE), front.get(f"{BASE}assets/app-B7cD9x2k.js")
    for answer in (page, script):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Robots-Tag"] == "noindex"
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert page.headers["Cache-Control"] == "public, max-age=0, must-revalidate"
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    other = front.get(f"{BASE}assets/my-component.js")
    assert other.headers["Cache-Control"] == "public, max-age=0, must-revalidate"
    manifest = front.get(f"{BASE}site.webmanifest").headers["Content-Type"]
    assert manifest.startswith("application/manifest+json")


def test_conditions_and_ranges_work(front: Host) -> None:
    etag = front.get(f"{BASE}letters.txt").headers["ETag"]
    assert front.get(f"{BASE}letters.txt", If_None_Match=etag).status == 304
    part = front.get(f"{BASE}letters.txt", Range="bytes=2-4")
    assert (part.status, part.text) == (206, "cde")
    assert front.get(f"{BASE}letters.txt", Range="bytes=99-").status == 416
    assert front.head(f"{BASE}letters.txt").headers["Content-Length"] == "10"


def test_variants_made_beforehand_are_sent(front: Host) -> None:
    path = f"{BASE}assets/app-B7cD9x2k.js"
    answer = front.get(path, Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "accept-encoding" in (answer.headers["Vary"] or "").lower()
    assert front.get(path).text == SCRIPT


def test_a_preview_is_read_only_and_says_so(front: Host) -> None:
    answer = front.ask("POST", BASE, {"Content-Length": "0"})
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_deployment_with_rules_is_left_to_the_bot(front: Host) -> None:
    answer = front.get(f"/{RULED}/about")
    assert (answer.text, answer.headers["X-Rule"]) == ("about", "yes")


def test_hosts_of_the_preview_domain_work(front: Host) -> None:
    host = {"Host": f"{SHA}.preview.test:{front.port}"}
    assert front.get("/about", **host).text == "about"
    assert front.get("/docs", **host).location == "/docs/"
    assert front.get("/", Host=f"{RULED}.preview.test:{front.port}").headers["X-Rule"] == "yes"


@pytest.mark.parametrize("path", ["photo.bin", "old.bin"])
def test_the_bot_decides_and_the_front_server_sends(
    front: Host, store: DiskStore, path: str
) -> None:
    answer = front.get(f"/{HANDED}/{path}")
    assert (answer.status, answer.body) == (200, LARGE["photo.bin"])
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["X-Accel-Redirect"] is None
    # Who sends a file shows when the store has another than the bot has in memory.
    digest, _ = store.put_bytes([LARGE["photo.bin"]])  # type: ignore[list-item]
    store.path(digest).chmod(0o644)
    store.path(digest).write_bytes(b"changed" + bytes(100))
    assert front.get(f"/{HANDED}/{path}").body.startswith(b"changed")


def test_what_the_front_server_sends_has_the_bots_validators(front: Host) -> None:
    path = f"/{HANDED}/photo.bin"
    first = front.get(path)
    etag, date = first.headers.get_all("ETag"), first.headers.get_all("Last-Modified")
    assert [len(tag) for tag in etag or []] == [34]
    assert len(date or []) == 1
    assert front.head(path).headers.get_all("ETag") == etag
    tag = first.headers["ETag"]
    assert front.get(path, If_None_Match=tag).status == 304
    assert front.get(path, If_None_Match='"other"').status == 200
    assert front.get(path, If_Modified_Since=first.headers["Last-Modified"]).status == 304
    assert front.get(path, If_Modified_Since="Tue, 14 Nov 2000 00:00:00 GMT").status == 200
    assert front.get(path, If_Match='"other"').status == 412
    assert front.get(path, If_Match=tag).body == LARGE["photo.bin"]


def test_what_the_front_server_sends_is_sent_in_parts(front: Host) -> None:
    path, whole = f"/{HANDED}/photo.bin", LARGE["photo.bin"]
    assert isinstance(whole, bytes)
    tag = front.get(path).headers["ETag"]
    for wanted, part in (("1000-20000", whole[1000:20001]), ("-7", whole[-7:])):
        answer = front.get(path, Range=f"bytes={wanted}")
        assert (answer.status, answer.body) == (206, part)
    assert front.get(path, Range=f"bytes={len(whole)}-").status == 416
    assert front.get(path, Range="bytes=0-9", If_Range='"old"').body == whole
    assert front.get(path, Range="lines=0-9").body == whole
    several = front.get(path, Range="bytes=0-0,5-6")
    assert several.status == 206
    assert several.headers["Content-Type"].startswith("multipart/byteranges")
    assert front.get(path, Range="bytes=0-9", If_Range=tag).status == 206


def test_variants_that_the_bot_chose_are_sent_too(front: Host) -> None:
    path = f"/{HANDED}/large.js"
    plain = front.get(path)
    assert plain.text == LARGE["large.js"]
    answer = front.get(path, Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.body) == plain.body
    for got in (plain, answer):
        assert got.headers["Vary"] == "Accept-Encoding"
        assert got.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["ETag"] != plain.headers["ETag"]


def test_protection_is_the_bots_whoever_sends(
    front: Host, deployer: Deployer, database: Database
) -> None:
    with database.write():
        access.protect(deployer.project().id, AccessKind.PASSWORD, "secret")
    path = f"/{HANDED}/photo.bin"
    wait_until(lambda: front.get(path).status == 401)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    entered = front.ask("POST", path, form, b"password=secret")
    assert entered.status == 303
    cookie = entered.headers["Set-Cookie"].partition(";")[0]
    answer = front.get(path, Cookie=cookie)
    assert answer.body == LARGE["photo.bin"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Cookie" in answer.headers["Vary"]


def test_pages_with_a_toolbar_are_the_bots_and_all_else_too(
    front: Host, deployer: Deployer, database: Database, store: DiskStore
) -> None:
    """What `Control.switch` does: front servers know nothing of toolbars."""
    with database.write():
        projects.switch(deployer.project().id, "toolbar", True)
    for deployment_id in deployments.live(deployer.project().id):
        store.hide(deployment_id)
    script = f'<script src="{BASE}.well-known/deploystack/toolbar.js"></script>'
    wait_until(lambda: script in front.visit(BASE, Sec_Fetch_Dest="document").text)
    page = front.visit(BASE, Sec_Fetch_Dest="document")
    assert page.text == f"home{script}"
    assert page.headers["Content-Length"] == str(len(page.body))
    assert front.get(BASE, Sec_Fetch_Dest="empty").text == "home"
    asked = front.get(f"{BASE}.well-known/deploystack/toolbar.js")
    assert (asked.status, "const facts = {" in asked.text) == (200, True)
    assert front.get(f"{BASE}assets/app-B7cD9x2k.js").text == SCRIPT


def test_nobody_reaches_the_store_by_himself(front: Host, store: DiskStore) -> None:
    digest, _ = store.put_bytes([LARGE["photo.bin"]])  # type: ignore[list-item]
    place = f"/_deploystack/store/{digest[:2]}/{digest[2:]}"
    for host in (f"127.0.0.1:{front.port}", f"{HANDED}.preview.test:{front.port}"):
        assert front.get(place, Host=host).status == 404
        assert front.get(place, Host=host, X_Accel_Location="/_deploystack/store/").status == 404


def test_without_a_front_server_nothing_is_handed_on(
    deployer: Deployer, make_host: Callable[..., Host]
) -> None:
    deployer.deploy(LARGE)
    host = make_host(ACCEL_LOCATION="/_deploystack/store/")
    assert host.get(f"{BASE}photo.bin").body == LARGE["photo.bin"]
    assert host.get(f"{BASE}photo.bin", X_Accel_Location="/etc/").body == LARGE["photo.bin"]
    other = make_host()
    answer = other.get(f"{BASE}photo.bin", X_Accel_Location="/_deploystack/store/")
    assert answer.body == LARGE["photo.bin"]


def test_everything_that_the_bot_hands_on_is_carried_over_by_nginx() -> None:
    text = (DEPLOY / "nginx_store.conf").read_text()
    added = {name.lower() for name in re.findall(r"add_header (\S+) \$upstream_http_", text)}
    # https://nginx.org/en/docs/http/ngx_http_proxy_module.html: these are kept by itself.
    kept = {
        "accept-ranges", "cache-control", "content-disposition", "content-length",
        "content-type", "expires",
    }  # fmt: skip
    assert added | kept == CARRIED


def test_the_dashboard_and_the_api_have_names_of_their_own(front: Host) -> None:
    for path in ("/", BASE, "/api/v1/builds"):
        assert front.get(path, Host=f"dashboard.example.net:{front.port}").text == "the dashboard"
    api = {"Host": f"api.example.com:{front.port}"}
    assert front.get("/healthz", **api).text == "the bot's own"
    assert front.get("/api/v1/builds", **api).text == "the bot's own"
    for path in (BASE, "/", f"{BASE}about"):
        assert front.get(path, **api).status == 404
        assert "about" not in front.get(path, **api).text


def test_what_is_no_preview_reaches_the_bot(front: Host) -> None:
    assert front.get("/healthz").text == "the bot's own"


def test_a_hidden_deployment_is_asked_of_the_bot_again(
    store: DiskStore, deployer: Deployer, tmp_path: Path
) -> None:
    deployment_id = deployer.deploy({"index.html": "x"})
    store.lay_out(store.manifest(deployment_id))
    direct = tmp_path / "artifacts" / "direct"
    names = {SHA, deployment_id}
    assert {name.name for name in direct.iterdir()} == names
    assert all((direct / name / "index.html").read_text() == "x" for name in names)
    store.hide(deployment_id)
    assert list(direct.iterdir()) == []


def test_a_commit_of_two_projects_keeps_the_first_ones_tree(
    store: DiskStore, deployer: Deployer, tmp_path: Path
) -> None:
    first = deployer.deploy({"index.html": "first"}, project="octo/a")
    second = deployer.deploy({"index.html": "second"}, project="octo/b")
    page = tmp_path / "artifacts" / "direct" / SHA / "index.html"
    for deployment_id in (first, second):
        store.lay_out(store.manifest(deployment_id))
        assert page.read_text() == "first"
    store.delete(first)
    store.lay_out(store.manifest(second))
    assert page.read_text() == "second"
