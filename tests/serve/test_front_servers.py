"""Our configurations for nginx and Caddy, run by the real programs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.variants import add_variants
from tests.programs import require_program
from tests.serve.conftest import SHA, Deployer, Host, wait_until
from tests.serve.test_processes import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = f"/{SHA}/"
RULED = "f" * 40
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


def nginx_configuration(folder: Path, port: int, bot: int, direct: Path) -> Path:
    """deploy/nginx.conf with its marked lines adapted, inside a main configuration."""
    text = (DEPLOY / "nginx.conf").read_text()
    text = text.replace("/etc/nginx/deploystack_files.conf", str(DEPLOY / "nginx_files.conf"))
    text = text.replace("/etc/nginx/deploystack_proxy.conf", str(DEPLOY / "nginx_proxy.conf"))
    text = text.replace("/var/lib/deploystack/artifacts/direct", str(direct))
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{bot}")
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
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
        f"events {{}} http {{ access_log off; {temporary} {text} }}"
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
    bot = make_host(PREVIEW_DOMAIN="preview.test")
    for sha, files in ((SHA, FILES), (RULED, {**FILES, "_headers": "/*\n  X-Rule: yes"})):
        deployment_id = deployer.deploy(files, sha=sha)
        made = add_variants(store, deployment_id)
        assert made is not None
        store.lay_out(made)
    port = free_port()
    folder = tmp_path / "front"
    folder.mkdir()
    if request.param == "nginx":
        direct = tmp_path / "artifacts" / "direct"
        command = [program, "-c", str(nginx_configuration(folder, port, bot.port, direct))]
    else:
        file = str(caddy_configuration(folder, port))
        command = [program, "run", "--config", file, "--adapter", "caddyfile"]
    environ = os.environ | {
        "DATA_DIR": str(tmp_path), "BOT": f"127.0.0.1:{bot.port}",
        "PREVIEWS": f"127.0.0.1:{bot.port}", "HOME": str(folder),
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
