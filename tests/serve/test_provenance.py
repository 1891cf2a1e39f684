"""What is signed of a deployment, as strangers verify it: over HTTP, by `deploystack verify`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bot import dsse
from bot.cli import main
from bot.commands.endings import Exit
from bot.dsse import PREDICATE_TYPE, STATEMENT_TYPE
from bot.models import provenance
from bot.models.access import AccessKind, protect
from bot.models.projects import point_alias
from bot.models.status import AliasKind
from bot.models.tables import Access
from bot.serve.access import share_query
from bot.storage import checksums
from tests.serve.conftest import SHA, Deployer, Host

FILES = {"index.html": "<p>hello", "a b/é.txt": "text", "_headers": "/*\n  X-A: b\n"}
OTHER = "f" * 40
WELL_KNOWN = "/.well-known/deploystack"


class Notary:
    """Signs deployments as the worker does."""

    def __init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.public = dsse.public_of(self.key)
        provenance.list_key(self.public.id, self.public.x)

    def sign(self, deployer: Deployer, deployment_id: str, commit: str = SHA) -> dict[str, Any]:
        listed = checksums.of_entries(deployer.store.manifest(deployment_id).files)
        digest = {"sha256": checksums.digest(listed)}
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": deployment_id, "digest": digest}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "externalParameters": {
                        "project": "octo/site", "commit": commit, "environment": "preview",
                    },
                    "internalParameters": {"framework": "Plain HTML", "tools": ""},
                    "resolvedDependencies": [],
                },
                "runDetails": {
                    "builder": {"id": "http://localhost"},
                    "metadata": {"finishedOn": "2026-01-01T00:00:00Z"},
                    "byproducts": [{"name": "files.sha256", "annotations": {"files": 3}}],
                    "deploystack_reused": "",
                },
            },
        }  # fmt: skip
        made = dsse.sign(json.dumps(statement).encode(), self.key)
        provenance.remember(deployment_id, json.dumps(made))
        return made


@pytest.fixture
def notary(deployer: Deployer) -> Notary:
    return Notary()


@pytest.fixture
def deployment(deployer: Deployer, notary: Notary) -> str:
    deployment_id = deployer.deploy(FILES)
    notary.sign(deployer, deployment_id)
    return deployment_id


@pytest.fixture
def verify(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`deploystack verify` of a path of the host; `code` is how it must end."""
    for name in ("DEPLOYSTACK_URL", "DEPLOYSTACK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(*options: str, path: str = f"/{SHA}/", code: int = Exit.DONE) -> Result:
        url = f"http://127.0.0.1:{host.port}{path}"
        ended = CliRunner().invoke(main, ["verify", url, *options])
        assert ended.exit_code == code, ended.output
        return ended

    return run


def error_of(ended: Result) -> str:
    code: str = json.loads(ended.stdout)["error"]["code"]
    return code


def test_a_deployment_is_verified_by_its_address_alone(
    verify: Callable[..., Result], deployment: str, notary: Notary
) -> None:
    told = json.loads(verify("--json").stdout)
    assert (told["verified"], told["deployment"]) == (True, deployment)
    assert told["key"] == notary.public.id
    shown = verify(path=f"/{deployment}/some/page").output
    assert deployment in shown
    assert "not compared" in shown


def test_every_file_is_compared_on_request(verify: Callable[..., Result], deployment: str) -> None:
    files = json.loads(verify("--files", "--json").stdout)["files"]
    assert files == {"compared": 2, "unserved": 1}


def test_the_address_of_an_alias_is_verified_too(
    verify: Callable[..., Result], deployer: Deployer, deployment: str
) -> None:
    point_alias(deployer.project().id, AliasKind.BRANCH, "main", deployment)
    told = json.loads(verify("--files", "--json", path="/~/octo-site/main/").stdout)
    assert told["deployment"] == deployment


def test_a_changed_envelope_is_refused(
    verify: Callable[..., Result], deployer: Deployer, notary: Notary, deployment: str
) -> None:
    envelope = notary.sign(deployer, deployment)
    payload = base64.b64decode(envelope["payload"]).replace(b'"preview"', b'"production"')
    envelope["payload"] = base64.b64encode(payload).decode()
    provenance.remember(deployment, json.dumps(envelope))
    assert error_of(verify("--json", code=Exit.YOURS)) == "signature-invalid"


def test_a_key_that_the_host_does_not_publish_is_refused(
    verify: Callable[..., Result], deployer: Deployer, notary: Notary, deployment: str
) -> None:
    notary.key = Ed25519PrivateKey.generate()
    notary.sign(deployer, deployment)
    assert error_of(verify("--json", code=Exit.YOURS)) == "key-unknown"


def test_a_pinned_key_is_trusted_alone(
    verify: Callable[..., Result],
    deployer: Deployer,
    notary: Notary,
    deployment: str,
    tmp_path: Path,
) -> None:
    pem, jwk, keys = tmp_path / "key.pem", tmp_path / "key.json", tmp_path / "keys.json"
    encoded = notary.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pem.write_bytes(encoded)
    jwk.write_text(json.dumps(notary.public.as_json()))
    keys.write_text(json.dumps({"keys": [notary.public.as_json()]}))
    for given in (str(pem), str(jwk), str(keys), notary.public.id):
        verify("--key", given)
    first = notary.public.id
    notary.rotate()
    notary.sign(deployer, deployment)
    for given in (str(pem), first):
        assert error_of(verify("--json", "--key", given, code=Exit.YOURS)) == "key-unknown"
    assert error_of(verify("--json", "--key", "nonsense", code=Exit.YOURS)) == "invalid-key"
    jwk.write_text("{}")
    assert error_of(verify("--json", "--key", str(jwk), code=Exit.YOURS)) == "invalid-key"


def test_what_an_earlier_key_signed_stays_verifiable_until_it_is_revoked(
    verify: Callable[..., Result], host: Host, notary: Notary, deployment: str
) -> None:
    first = notary.public
    notary.rotate()
    published = json.loads(host.get(f"{WELL_KNOWN}/keys.json").body)["keys"]
    assert {key["kid"] for key in published} == {first.id, notary.public.id}
    verify("--key", first.id)
    assert provenance.revoke_key(first.id)
    assert not provenance.revoke_key(first.id)
    provenance.list_key(first.id, first.x)  # whoever still has it cannot list it again
    assert error_of(verify("--json", code=Exit.YOURS)) == "key-unknown"


def test_the_provenance_of_another_deployment_is_refused(
    verify: Callable[..., Result], deployer: Deployer, notary: Notary, deployment: str
) -> None:
    other = deployer.deploy({"index.html": "other"}, sha=OTHER)
    provenance.remember(other, json.dumps(notary.sign(deployer, deployment)))
    assert error_of(verify("--json", path=f"/{OTHER}/", code=Exit.YOURS)) == "provenance-mismatch"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({**FILES, "index.html": "<p>hell0"}, "provenance-mismatch"),
        ({"index.html": FILES["index.html"]}, "provenance-mismatch"),
    ],
)
def test_a_manifest_that_was_changed_is_noticed(
    verify: Callable[..., Result],
    deployer: Deployer,
    deployment: str,
    files: Mapping[str, str],
    code: str,
) -> None:
    deployer.publish(deployment, files)
    assert error_of(verify("--json", "--files", code=Exit.YOURS)) == code


def test_a_file_that_was_changed_in_the_store_is_named(
    verify: Callable[..., Result], deployer: Deployer, deployment: str
) -> None:
    digest = deployer.store.manifest(deployment).files["a b/é.txt"].digest
    stored = deployer.store.path(digest)  # type: ignore[attr-defined]
    stored.chmod(0o644)
    stored.write_text("t3xt")
    ended = verify("--json", "--files", code=Exit.YOURS)
    assert error_of(ended) == "files-differ"
    assert "a b/é.txt (differs)" in ended.stdout


def test_a_rule_that_leads_a_file_elsewhere_is_noticed(
    verify: Callable[..., Result], deployer: Deployer, notary: Notary
) -> None:
    deployment = deployer.deploy(
        {"index.html": "x", "hidden.txt": "y", "_redirects": "/hidden.txt /nowhere 301!\n"}
    )
    notary.sign(deployer, deployment)
    ended = verify("--json", "--files", code=Exit.YOURS)
    assert "hidden.txt (not served)" in ended.stdout


def test_there_is_none_of_what_was_never_signed(
    verify: Callable[..., Result], deployer: Deployer
) -> None:
    deployer.deploy(FILES)
    assert error_of(verify("--json", code=Exit.NOT_FOUND)) == "provenance-not-found"
    assert error_of(verify("--json", path=f"/{OTHER}/", code=Exit.NOT_FOUND)) == (
        "provenance-not-found"
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{WELL_KNOWN}/keys.json", 200),
        (f"{WELL_KNOWN}/{SHA}/deploy.json", 200),
        (f"{WELL_KNOWN}/{SHA}/files.sha256", 200),
        (f"{WELL_KNOWN}/{SHA}/keys.json", 404),
        (f"{WELL_KNOWN}/{SHA}/x/deploy.json", 404),
        (f"{WELL_KNOWN}/{SHA[:7]}/deploy.json", 404),
        (f"{WELL_KNOWN}/{OTHER}/deploy.json", 404),
        (f"{WELL_KNOWN}/deploy.json", 404),
        (f"{WELL_KNOWN}/~/octo-site/main/deploy.json", 404),
        (f"{WELL_KNOWN}/../deploy.json", 404),
        (f"{WELL_KNOWN}/", 404),
    ],
)
def test_what_is_there_and_what_is_not(host: Host, deployment: str, path: str, status: int) -> None:
    answer = host.get(path)
    assert answer.status == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert host.head(path).status == status
    assert host.ask("POST", path, {}).status == 404


def test_a_site_cannot_put_its_own_word_in_the_place_of_the_bots(
    make_host: Callable[..., Host], deployer: Deployer, notary: Notary
) -> None:
    """Neither by files of these names, nor by rules, nor by being asked by its own pages."""
    forged = {
        ".well-known/deploystack/keys.json": "forged",
        ".well-known/deploystack/deploy.json": "forged",
        f".well-known/deploystack/{SHA}/deploy.json": "forged",
        "_redirects": "/* /index.html 200!\n",
    }
    deployment = deployer.deploy({"index.html": "forged", **forged})
    notary.sign(deployer, deployment)
    host = make_host(PREVIEW_DOMAIN="preview.test")
    referer = {"Referer": f"http://127.0.0.1:{host.port}/{SHA}/"}
    for path, headers in (
        (f"{WELL_KNOWN}/keys.json", referer),
        (f"{WELL_KNOWN}/{SHA}/deploy.json", referer),
        (f"{WELL_KNOWN}/keys.json", {"Host": f"{SHA}.preview.test"}),
        (f"{WELL_KNOWN}/deploy.json", {"Host": f"{SHA}.preview.test"}),
        (f"{WELL_KNOWN}/{SHA}/deploy.json", {"Host": f"{SHA}.preview.test"}),
    ):
        answer = host.ask("GET", path, headers)
        assert "forged" not in answer.text
        assert answer.status in {200, 404}
    own = host.ask("GET", f"{WELL_KNOWN}/deploy.json", {"Host": f"{SHA}.preview.test"})
    assert dsse.verify(json.loads(own.body), [notary.public])


def test_provenance_is_protected_as_its_deployment_is(
    verify: Callable[..., Result], host: Host, deployer: Deployer, deployment: str
) -> None:
    access = protect(deployer.project().id, AccessKind.LINK)
    for name in ("deploy.json", "files.sha256"):
        answer = host.get(f"{WELL_KNOWN}/{SHA}/{name}")
        assert answer.status == 403
        assert deployment not in answer.text
    assert error_of(verify("--json", code=Exit.NOT_ALLOWED)) == "unauthorized"
    query = share_query(access, 4_000_000_000)
    told = json.loads(verify("--files", "--json", path=f"/{SHA}/?{query}").stdout)
    assert told["files"] == {"compared": 2, "unserved": 1}
    assert Access.select().count() == 1


def test_a_host_that_cannot_be_reached_is_no_verdict(tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["verify", f"http://127.0.0.1:9/{SHA}/", "--json"])
    assert (ended.exit_code, error_of(ended)) == (Exit.FAULT, "unreachable")
    ended = CliRunner().invoke(main, ["verify", "example.org", "--json"])
    assert (ended.exit_code, error_of(ended)) == (Exit.YOURS, "invalid-url")
