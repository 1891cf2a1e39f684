"""Verifying what a host says of a deployment: needs its address, and no account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from bot.commands import find, output, servers
from bot.commands.endings import explained
from bot.commands.output import json_option
from bot.commands.session import Session, destination

if TYPE_CHECKING:
    from bot.api.client import Client
    from bot.verification import Address, Verified, Web


@click.command()
@click.argument("url")
@click.option(
    "--key",
    default="",
    metavar="KEY",
    help="Trust this key alone: a file with the public key, or a key's thumbprint.",
)
@click.option("--files", is_flag=True, help="Fetch every file too, and compare it.")
@click.option(
    "--server", default="", metavar="URL", help="Whose published keys count. Default: URL's host."
)
@json_option
@explained
def verify(url: str, key: str, files: bool, server: str, as_json: bool) -> None:
    """Verify the signed provenance of the deployment at URL.

    Without --key, the keys are trusted that its host publishes: that shows that nobody but the
    host has changed anything. docs/provenance.md says what is proven, and what is not.
    """
    from bot import verification

    address = verification.address_of(url)
    trusted = servers.normalised(server) if server else address.origin
    web = verification.Web()
    try:
        keys = (
            verification.pinned(key, lambda: verification.published_keys(web, trusted))
            if key
            else verification.published_keys(web, trusted)
        )
        found = verification.verify(_envelope(web, address, url, server), keys, address)
        if files:
            with output.progress("Comparing files") as progress:
                found = verification.compare_files(web, address, found, progress)
    finally:
        web.close()
    output.result(_as_json(found, url), as_json, _described(found, url))


def _envelope(web: Web, address: Address, url: str, server: str) -> object:
    """As everybody gets it; where only some may, by the API and a token for its host."""
    from bot.api.client import Client
    from bot.verification import Protected, fetch_envelope

    try:
        return fetch_envelope(web, address)
    except Protected:
        host, token = destination(server or address.origin, "")
        if not token:
            raise
        client = Client(host, token)
        try:
            return _by_api(client, url)
        finally:
            client.close()


def _by_api(client: Client, url: str) -> object:
    deployment = find.deployment(Session(client, as_json=False, linked=""), url)
    return client.get(f"deployments/{deployment['id']}/deploy.json")


def _as_json(found: Verified, url: str) -> dict[str, Any]:
    return {
        "verified": True,
        "url": url,
        "deployment": found.deployment,
        "key": found.key,
        "files": {"compared": found.compared, "unserved": found.unserved},
        "statement": found.statement,
    }


def _described(found: Verified, url: str) -> Iterator[str]:
    predicate = found.statement["predicate"]
    definition, run = predicate["buildDefinition"], predicate["runDetails"]
    asked = definition["externalParameters"]
    sources = definition["resolvedDependencies"]
    source: dict[str, Any] = next((one for one in sources if one["name"] == "source"), {})
    digests = "  ".join(f"{kind} {value}" for kind, value in source.get("digest", {}).items())
    files = next(one for one in run["byproducts"] if one["name"] == "files.sha256")
    compared = "not compared (--files)"
    if found.compared is not None:
        compared = f"{found.compared} compared, all as signed"
    yield output.styled("Verified", fg="green") + f"  {url}"
    yield from output.facts(
        [
            ("Deployment", found.deployment),
            ("Project", asked["project"]),
            ("Environment", asked["environment"]),
            ("Repository", source.get("uri", "")),
            ("Source", digests),
            ("Framework", definition["internalParameters"]["framework"]),
            ("Tools", definition["internalParameters"]["tools"]),
            ("Output of", run["deploystack_reused"]),
            ("Files", f"{files['annotations']['files']}, {compared}"),
            ("Built", run["metadata"]["finishedOn"]),
            ("Builder", run["builder"]["id"]),
            ("Key", found.key),
        ]
    )
