"""TLS by the real Caddy with our configuration: certificates for the hosts that we know."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.models import domains
from bot.models.projects import point_alias
from bot.models.status import AliasKind
from tests.programs import require_program
from tests.serve.conftest import SHA, Deployer, Host, serve, wait_until
from tests.serve.test_front_servers import DEPLOY, _dashboard
from tests.serve.test_processes import free_port

# The certificates are Caddy's own, since nobody else would give us any.
LOCAL = "admin off\n\tlocal_certs\n\tskip_install_trust\n\thttp_port {http}\n\thttps_port {https}"


@pytest.fixture
def port(tmp_path: Path, make_host: Callable[..., Host], deployer: Deployer) -> Iterator[int]:
    """Where Caddy speaks TLS, ahead of a bot with one deployment and one custom domain."""
    caddy = require_program("caddy")
    bot = make_host(
        PUBLIC_URL="https://deploy.test",
        PREVIEW_DOMAIN="preview.test",
        DASHBOARD_URL="https://dashboard.test",
    )
    dashboard, stop_dashboard = serve(_dashboard)
    deployment_id = deployer.deploy({"index.html": "home"}, environment="production")
    project_id = deployer.project().id
    point_alias(project_id, AliasKind.PRODUCTION, "production", deployment_id)
    domains.note_proof(domains.claim(project_id, "www.example.org"), "")
    domains.claim(project_id, "unproven.example.org")
    ports = {"http": free_port(), "https": free_port()}
    text = (DEPLOY / "Caddyfile").read_text()
    main = tmp_path / "Caddyfile"
    main.write_text(text.replace("\n{\n", "\n{\n\t" + LOCAL.format(**ports) + "\n", 1))
    environ = os.environ | {
        "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "DATA_DIR": str(tmp_path),
        "SITE": "deploy.test", "DASHBOARD": "dashboard.test",
        "BOT": f"127.0.0.1:{bot.port}", "PREVIEWS": f"127.0.0.1:{bot.port}",
        "BOT_DASHBOARD": f"127.0.0.1:{dashboard.port}",
    }  # fmt: skip
    command = [caddy, "run", "--config", str(main), "--adapter", "caddyfile"]
    with (tmp_path / "caddy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    def up() -> bool:
        assert process.poll() is None, (tmp_path / "caddy.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", ports["https"])) == 0

    wait_until(up)
    yield ports["https"]
    process.terminate()
    process.wait(timeout=20)
    stop_dashboard()


def ask(port: int, host: str) -> bytes:
    """The answer to `GET /` over TLS, with a certificate for that very host."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        assert host.encode() in (connection.getpeercert(binary_form=True) or b"")
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def test_certificates_are_got_for_the_hosts_that_the_bot_knows(port: int) -> None:
    for host in (f"{SHA}.preview.test", "octo-site.preview.test", "www.example.org"):
        assert ask(port, host).endswith(b"home"), host
    assert b"the bot's own" in ask(port, "deploy.test")
    assert b"the dashboard" in ask(port, "dashboard.test")


@pytest.mark.parametrize(
    "host", ["other.example.org", "unproven.example.org", f"{'f' * 40}.preview.test"]
)
def test_no_certificate_is_got_for_a_host_that_it_does_not_know(port: int, host: str) -> None:
    with pytest.raises(ssl.SSLError):
        ask(port, host)
