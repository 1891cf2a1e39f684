"""How npm's and pip's own configuration reaches builds, and what of it never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.builders.registries import Registries, registries, without_private_lines

NPMRC = """\
registry=https://mirror.example/npm/
cafile=/home/me/ca.pem
//mirror.example/npm/:_authToken=do-not-show
//mirror.example/npm/:_password=do-not-show
//mirror.example/npm/:username=do-not-show
_auth=do-not-show
email=do-not-show@example.com
proxy=http://user:do-not-show@proxy:3128
key="do-not-show"
strict-ssl=true
"""


def test_an_npmrc_loses_all_that_proves_who_one_is() -> None:
    assert without_private_lines(NPMRC) == (
        "registry=https://mirror.example/npm/\ncafile=/home/me/ca.pem\nstrict-ssl=true\n"
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / "ca.pem").write_text("certificate")
    (home / ".npmrc").write_text(NPMRC.replace("/home/me", str(home)))
    (home / ".config" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://user:do-not-show@pypi.example/simple\n"
        f"find-links = {home}\ntimeout = 7\n"
    )
    return home


def reach(home: Path, tmp_path: Path, *, trusted: bool, **environ: str) -> Registries:
    return registries(tmp_path / "copies", trusted=trusted, environ={"HOME": str(home)} | environ)


def contents(found: Registries) -> str:
    copies = [
        Path(v) for n, v in found.environment.items() if n.endswith(("CONFIG", "CONFIG_FILE"))
    ]
    return "\n".join([*(p.read_text() for p in copies), *found.environment.values()])


def test_mirrors_and_certificates_reach_every_build(home: Path, tmp_path: Path) -> None:
    found = reach(home, tmp_path, trusted=False)
    assert "registry=https://mirror.example/npm/" in contents(found)
    assert "timeout = 7" in contents(found)
    assert found.environment["YARN_NPM_REGISTRY_SERVER"] == "https://mirror.example/npm/"
    assert found.environment["YARN_HTTPS_CA_FILE_PATH"] == f"{home}/ca.pem"
    assert home / "ca.pem" in found.readable


def test_passwords_reach_trusted_installs_alone(home: Path, tmp_path: Path) -> None:
    given = {
        "HTTPS_PROXY": "http://user:do-not-show@proxy:3128",
        "npm_config__authToken": "do-not-show",
        "NPM_TOKEN": "do-not-show",
    }
    fork = reach(home, tmp_path, trusted=False, **given)
    assert "do-not-show" not in contents(fork)
    trusted = reach(home, tmp_path, trusted=True, **given)
    assert "_authToken=do-not-show" in contents(trusted)
    assert trusted.environment["HTTPS_PROXY"] == given["HTTPS_PROXY"]


def test_proxies_and_npm_settings_of_the_environment_are_passed_on(
    home: Path, tmp_path: Path
) -> None:
    given = {"https_proxy": "http://proxy:3128", "npm_config_registry": "https://other.example/"}
    found = reach(home, tmp_path, trusted=False, SECRET="do-not-show", **given)
    assert given.items() <= found.environment.items()
    assert "SECRET" not in found.environment


def test_another_npmrc_that_the_operator_named_counts(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("registry=https://named.example/\n")
    found = reach(home, tmp_path, trusted=False, NPM_CONFIG_USERCONFIG=str(other))
    assert "named.example" in contents(found)
    assert found.environment["NPM_CONFIG_USERCONFIG"] != str(other)


def test_a_machine_without_any_configuration_is_fine(tmp_path: Path) -> None:
    found = reach(tmp_path / "nobody", tmp_path, trusted=False)
    assert all(path.exists() for path in found.readable)
