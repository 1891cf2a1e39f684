"""Settings: each can be read, each is documented, and a bad one is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.errors import InvalidSetting
from bot.secret import Secret
from bot.settings import SETTINGS, load

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    documented = re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert documented == [setting.name for setting in SETTINGS]


def test_documented_defaults_are_the_real_ones() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    defaults = {s.name: f"`{s.default}`" if s.default else "none" for s in SETTINGS}
    assert dict(rows) == defaults


def test_the_environment_wins_over_the_dotenv_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=9001\nBUILD_CONCURRENCY=7\n")
    loaded = load({"DATA_DIR": str(tmp_path), "PORT": "9002"}, dotenv)
    assert (loaded.PORT, loaded.BUILD_CONCURRENCY) == (9002, 7)


def test_the_public_address_follows_the_port(tmp_path: Path) -> None:
    assert load({"DATA_DIR": str(tmp_path), "PORT": "9"}, None).PUBLIC_URL == "http://localhost:9"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("PORT", "eighty", "expected a whole number, got 'eighty'"),
        ("PORT", "70000", "at most 65535"),
        ("PUBLIC_URL", "localhost:80", "expected an address such as https://host"),
        ("SANDBOX", "none", "expected one of auto"),
        ("BUILD_MEMORY", "lots", "expected a size such as 512M"),
        ("GITHUB_WEBHOOK_SECRET", "a,b,c", "two while rotating"),
        ("GITHUB_APP_PRIVATE_KEY", "/no/such/file", "neither a PEM text nor a readable file"),
        ("GITHUB_COMMENTS", "perhaps", "expected yes or no"),
        ("GITHUB_APP_ID", "12", "GITHUB_APP_PRIVATE_KEY: is missing"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load({"DATA_DIR": str(tmp_path), name: text}, None)
    assert words in caught.value.message
    assert name.rsplit("_", 1)[0] in caught.value.message


def test_production_refuses_to_start_without_a_webhook_secret(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="GITHUB_WEBHOOK_SECRET: must be set in production"):
        load({"DATA_DIR": str(tmp_path), "ENVIRONMENT": "production"}, None)


def test_development_makes_one_webhook_secret_and_keeps_it(tmp_path: Path) -> None:
    first = load({"DATA_DIR": str(tmp_path)}, None).GITHUB_WEBHOOK_SECRET
    again = load({"DATA_DIR": str(tmp_path)}, None).GITHUB_WEBHOOK_SECRET
    assert first == again
    assert len(first[0].reveal()) == 64
    assert (tmp_path / "webhook-secret").stat().st_mode & 0o777 == 0o600


def test_two_secrets_are_valid_while_rotating(tmp_path: Path) -> None:
    loaded = load({"DATA_DIR": str(tmp_path), "GITHUB_WEBHOOK_SECRET": "new, old"}, None)
    assert loaded.GITHUB_WEBHOOK_SECRET == (Secret("new"), Secret("old"))


def test_a_private_key_may_be_a_path_or_a_text(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"
    (tmp_path / "key.pem").write_text(key)
    for given in (key, key.replace("\n", "\\n"), str(tmp_path / "key.pem")):
        environ = {
            "DATA_DIR": str(tmp_path),
            "GITHUB_APP_ID": "1",
            "GITHUB_APP_PRIVATE_KEY": given,
        }
        assert load(environ, None).GITHUB_APP_PRIVATE_KEY.reveal() == key


def test_secrets_never_print(tmp_path: Path) -> None:
    loaded = load({"DATA_DIR": str(tmp_path), "GITHUB_TOKEN": "ghp_very_secret"}, None)
    assert "ghp_very_secret" not in repr(loaded)
    assert f"{loaded.GITHUB_TOKEN}" == "[REDACTED]"


@pytest.mark.parametrize(
    ("patterns", "repository", "allowed"),
    [
        ("*", "octo/site", True),
        ("octo/*", "octo/site", True),
        ("octo/*", "OCTO/Site", True),
        ("octo/*", "other/site", False),
        ("octo/site, acme/*", "acme/web", True),
    ],
)
def test_allowed_repositories_are_patterns(
    tmp_path: Path, patterns: str, repository: str, allowed: bool
) -> None:
    loaded = load({"DATA_DIR": str(tmp_path), "ALLOWED_REPOSITORIES": patterns}, None)
    assert loaded.allows(repository) is allowed


@pytest.mark.parametrize(
    ("domain", "key", "url", "base"),
    [
        ("", "a" * 40, f"https://p.test:8443/{'a' * 40}/", f"/{'a' * 40}/"),
        ("live.test", "a" * 40, f"https://{'a' * 40}.live.test:8443/", "/"),
        # A SHA-256 is too long for a host's label.
        ("live.test", "a" * 64, f"https://p.test:8443/{'a' * 64}/", f"/{'a' * 64}/"),
    ],
)
def test_a_preview_domain_gives_every_deployment_its_own_host(
    tmp_path: Path, domain: str, key: str, url: str, base: str
) -> None:
    environ = {
        "DATA_DIR": str(tmp_path),
        "PUBLIC_URL": "https://p.test:8443",
        "PREVIEW_DOMAIN": domain,
    }
    loaded = load(environ, None)
    assert (loaded.deployment_url(key), loaded.base_path(key)) == (url, base)


def test_local_repositories_are_fetched_from_the_data_folder_and_others_from_the_server(
    tmp_path: Path,
) -> None:
    loaded = load({"DATA_DIR": str(tmp_path), "GITHUB_SERVER_URL": "https://ghe.test/"}, None)
    assert loaded.clone_url("_local/site") == str(tmp_path / "repositories" / "site.git")
    assert loaded.clone_url("octo/site") == "https://ghe.test/octo/site.git"
